//! A shader in WGSL that wgpu draws, between the draws of GLES.
//!
//! In: a [`Shader`] in WGSL, how each input reaches GLES, values. Out: a [`WgpuPass`] that draws a target.
//! Not here: which memory both take (`runner::linked`), the shader's text (`shader::wgsl`).
//!
//! GLES draws each input into a picture that wgpu samples, so that sources of every kind are RGB of 8 bits there, and draws wgpu's
//! picture into the target. The pictures between the two are dma-bufs, with fences both ways; where the drivers share none, they are
//! read back and uploaded.

use std::cell::RefCell;
use std::time::Duration;

use wgpu::util::DeviceExt as _;

use super::{Moment, Pass, PassInput};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::format::Fourcc;
use crate::gles::{self, Framebuffer, Gl, Texture};
use crate::layout::Size;
use crate::pipeline::description::{Filter, Optimize, Wrap};
use crate::pipeline::parameters::ParameterSet;
use crate::pipeline::plan::Setting;
use crate::pipeline::shader::Shader;
use crate::pipeline::shader::wgsl::Wgsl;
use crate::vulkan::{self, Choice, Info};
use crate::wgpu::{Device, Use, catch, mapped};

/// Work that takes longer than this hangs.
const HANG: Duration = Duration::from_secs(10);
/// Rows of a copy from a texture begin at multiples of it.
const ROW_BYTES: u32 = wgpu::COPY_BYTES_PER_ROW_ALIGNMENT;
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

/// What a pass of wgpu is made of.
pub struct WgpuOptions<'a> {
    /// Name of the pass.
    pub name: &'a str,
    /// The author's shader.
    pub shader: &'a Shader,
    /// Pictures that it reads, each read by GLES at its own pixels.
    pub inputs: Vec<PassInput>,
    /// Size and format of the target.
    pub target: (Size, Fourcc),
    /// Values of the shader's uniforms.
    pub values: &'a [Setting],
    /// How wgpu reads between pixels and beyond edges.
    pub sampling: (Filter, Wrap),
    /// Which steps are taken, for the draws of GLES.
    pub optimize: Optimize,
}

/// A picture that GLES and wgpu have.
pub enum Picture {
    /// One memory.
    Shared(Framebuffer, crate::wgpu::Texture),
    /// Two, between which pixels are copied.
    Copied(Framebuffer, wgpu::Texture),
}

impl Picture {
    /// A picture that is copied.
    ///
    /// # Errors
    /// Those of either side.
    pub fn copied(gl: &Gl, device: &Device, size: Size) -> Result<Self> {
        let options = gles::TextureOptions { fourcc: Fourcc::ABGR8888, ..gles::TextureOptions::default() };
        let framebuffer = Framebuffer::new(gl, Texture::new(gl, size, &options)?)?;
        let wanted = wgpu::TextureDescriptor {
            label: None,
            size: extent(size),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::TEXTURE_BINDING
                | wgpu::TextureUsages::RENDER_ATTACHMENT
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        };
        let texture = catch(device.device(), "wgpu texture", || device.device().create_texture(&wanted))?;
        Ok(Self::Copied(framebuffer, texture))
    }

    fn framebuffer(&self) -> &Framebuffer {
        match self {
            Self::Shared(framebuffer, _) | Self::Copied(framebuffer, _) => framebuffer,
        }
    }

    fn texture(&self) -> &wgpu::Texture {
        match self {
            Self::Shared(_, texture) => texture.texture(),
            Self::Copied(_, texture) => texture,
        }
    }

    fn shared(&self) -> Option<&crate::wgpu::Texture> {
        match self {
            Self::Shared(_, texture) => Some(texture),
            Self::Copied(..) => None,
        }
    }
}

/// The pictures of a pass: those that it reads, and that which it draws.
struct Pictures {
    inputs: Vec<Picture>,
    output: Picture,
    bindings: wgpu::BindGroup,
    /// Why pixels are copied.
    reason: Option<String>,
}

/// A shader in WGSL with its inputs.
pub struct WgpuPass {
    name: String,
    device: Device,
    inputs: Vec<PassInput>,
    /// GLES's draws of each input into its picture, and of the result into the target.
    copies: Vec<Pass>,
    out: Pass,
    size: Size,
    pipeline: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    frame: wgpu::Buffer,
    uniforms: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    /// Bytes of the uniforms, and whether wgpu has them.
    values: RefCell<(Vec<u8>, bool)>,
    wgsl: Wgsl,
    pictures: Option<Pictures>,
}

fn extent(size: Size) -> wgpu::Extent3d {
    wgpu::Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 }
}

/// The Vulkan device that GLES draws on, by what both tell of it; where the processor draws, the one that does so too.
fn device(gl: &Gl) -> Result<Device> {
    let known = Device::list()?;
    let uuids = gl.uuids().map(|uuids| uuids.devices).unwrap_or_default();
    if let Some(info) = known.iter().find(|info| uuids.contains(&info.device_uuid)) {
        return Device::of(&info.device_uuid);
    }
    if gl.caps().is_software {
        if let Some(info) = known.iter().find(|info| info.is_software) {
            return Device::of(&info.device_uuid);
        }
    } else if let Some(node) = gl.display().node() {
        let device = vulkan::Device::open(&Choice::Node(node.clone()))?;
        return Device::of(&device.info().device_uuid);
    }
    let names: Vec<String> = known.iter().map(Info::to_string).collect();
    let there = if names.is_empty() { "no Vulkan device at all".into() } else { names.join(", ") };
    Err(Error::unsupported("wgpu", format!("no Vulkan device is the one that draws here ({})", gl.caps().renderer))
        .with_hint(format!("there is {there}; install the GPU's Vulkan driver, or write the pass in GLSL")))
}

impl WgpuPass {
    /// Compiles the shader.
    ///
    /// # Errors
    /// `Unsupported`: no Vulkan device for what draws here, a size that it does not take. `Shader` where wgpu refuses what was read.
    pub fn new(gl: &Gl, options: WgpuOptions<'_>) -> Result<Self> {
        let WgpuOptions { name, shader, inputs, target: (size, fourcc), values, sampling, optimize } = options;
        let Some(wgsl) = shader.wgsl.clone() else { return Err(Error::failed("wgpu", "the pass has no WGSL")) };
        let device = device(gl)?;
        let most = device.device().limits().max_texture_dimension_2d;
        for size in inputs.iter().map(|input| input.size).chain([size]) {
            if size.width > most || size.height > most {
                let detail = format!("{size}: textures of {} end at {most}x{most}", device.info());
                return Err(Error::unsupported("wgpu", detail));
            }
        }
        let copy = |input: &PassInput| {
            let input = PassInput { name: "picture".into(), ..input.clone() };
            let size = input.size;
            Pass::new(gl, name, None, vec![input], (size, Fourcc::ABGR8888), &[], optimize)
        };
        let copies = inputs.iter().map(copy).collect::<Result<Vec<Pass>>>()?;
        let out = Pass::new(gl, name, None, vec![PassInput::picture(size)], (size, fourcc), &[], optimize)?;
        let made = catch(device.device(), "wgpu", || make(device.device(), &wgsl, inputs.len(), sampling));
        let (pipeline, layout, sampler, frame, uniforms) = made.map_err(|error| {
            let error = Error::new(crate::error::ErrorKind::Shader, "shader", error.detail());
            match shader.find_words("pixel") {
                Some(place) => error.with_span(place),
                None => error,
            }
        })?;
        let bytes = vec![0; wgsl.bytes];
        let pass = Self {
            name: name.to_owned(),
            device,
            inputs,
            copies,
            out,
            size,
            pipeline,
            layout,
            sampler,
            frame,
            uniforms,
            values: RefCell::new((bytes, false)),
            wgsl,
            pictures: None,
        };
        pass.assign(values);
        Ok(pass)
    }

    /// Its inputs, in the order of the textures that [`run`](WgpuPass::run) takes.
    pub fn inputs(&self) -> &[PassInput] {
        &self.inputs
    }

    /// The device that draws.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Sizes of the pictures that GLES and wgpu hand each other: inputs, and then the result.
    pub fn sizes(&self) -> Vec<Size> {
        self.inputs.iter().map(|input| input.size).chain([self.size]).collect()
    }

    /// Takes the pictures, in the order of [`sizes`](WgpuPass::sizes); with the reason where they are copied.
    ///
    /// # Errors
    /// `InvalidInput` for another number of them; those of wgpu.
    pub fn link(&mut self, mut pictures: Vec<Picture>, reason: Option<String>) -> Result<()> {
        let (Some(output), true) = (pictures.pop(), pictures.len() == self.inputs.len()) else {
            return Err(Error::invalid("wgpu", "a picture for each input, and one more"));
        };
        let views: Vec<_> = pictures.iter().map(|picture| picture.texture().create_view(&Default::default())).collect();
        let textures = views.iter().zip(2..).map(|(view, binding)| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::TextureView(view),
        });
        let mut entries = vec![
            wgpu::BindGroupEntry { binding: 0, resource: self.frame.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Sampler(&self.sampler) },
        ];
        entries.extend(textures);
        let wanted = wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries };
        let device = self.device.device();
        let bindings = catch(device, "wgpu bind group", || device.create_bind_group(&wanted))?;
        self.pictures = Some(Pictures { inputs: pictures, output, bindings, reason });
        Ok(())
    }

    /// It has its pictures.
    pub fn is_linked(&self) -> bool {
        self.pictures.is_some()
    }

    /// Who draws, and how pictures get there and back; the reason where they are copied.
    pub fn way(&self) -> (String, Option<&str>) {
        let reason = self.pictures.as_ref().and_then(|pictures| pictures.reason.as_deref());
        (self.device.info().to_string(), reason)
    }

    /// Gives every uniform its numbers: settings are all uniforms of the shader, in their order.
    pub fn assign(&self, settings: &[Setting]) {
        for (index, setting) in settings.iter().enumerate() {
            self.put(index, &setting.numbers);
        }
    }

    /// Gives the uniforms of `settings` that take a parameter its value.
    pub fn update(&self, settings: &[Setting], parameters: &ParameterSet) {
        for (index, setting) in settings.iter().enumerate() {
            if let Some(numbers) = setting.parameter.as_deref().and_then(|name| parameters.value(name)) {
                self.put(index, numbers);
            }
        }
    }

    fn put(&self, index: usize, numbers: &[f64]) {
        let Some(place) = self.wgsl.places.get(index) else { return };
        let mut values = self.values.borrow_mut();
        for (offset, number) in place.offsets.iter().zip(numbers) {
            values.0[*offset..offset + 4].copy_from_slice(&place.number.bytes(*number));
        }
        values.1 = false;
    }

    /// Draws one frame into `target`. `textures` are those of each input.
    ///
    /// # Errors
    /// `Failed` before [`link`](WgpuPass::link); those of either driver, `Timeout` among them.
    pub fn run(&self, gl: &Gl, target: &Framebuffer, textures: &[Vec<&Texture>], moment: Moment) -> Result<()> {
        let Some(pictures) = &self.pictures else {
            return Err(Error::failed("wgpu", "the pass has no pictures").in_context(&self.name));
        };
        for ((copy, textures), picture) in self.copies.iter().zip(textures).zip(&pictures.inputs) {
            for (texture, sampling) in textures.iter().zip(&copy.inputs()[0].samplings) {
                sampling.apply(gl, texture)?;
            }
            picture.framebuffer().bind(gl)?;
            copy.draw(gl, std::slice::from_ref(textures), moment)?;
        }
        self.tell(moment);
        match pictures.output.shared() {
            Some(output) => self.draw_shared(gl, pictures, output)?,
            None => self.draw_copied(gl, pictures)?,
        }
        let Some(texture) = pictures.output.framebuffer().texture() else {
            return Err(Error::failed("wgpu", "the picture is no texture"));
        };
        for sampling in &self.out.inputs()[0].samplings {
            sampling.apply(gl, texture)?;
        }
        target.bind(gl)?;
        self.out.draw(gl, &[vec![texture]], moment)
    }

    /// When it is, and the values of uniforms.
    fn tell(&self, moment: Moment) {
        let mut bytes = Vec::with_capacity(16);
        bytes.extend((self.size.width as f32).to_le_bytes());
        bytes.extend((self.size.height as f32).to_le_bytes());
        bytes.extend((moment.seconds as f32).to_le_bytes());
        bytes.extend(((moment.frame % (1 << 31)) as i32).to_le_bytes());
        self.device.queue().write_buffer(&self.frame, 0, &bytes);
        let mut values = self.values.borrow_mut();
        if let (Some((buffer, _)), false) = (&self.uniforms, values.1) {
            self.device.queue().write_buffer(buffer, 0, &values.0);
            values.1 = true;
        }
    }

    fn encode(
        &self,
        pictures: &Pictures,
        behind: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::CommandBuffer> {
        let device = self.device.device();
        catch(device, "wgpu", || {
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let view = pictures.output.texture().create_view(&Default::default());
            let ops =
                wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT), store: wgpu::StoreOp::Store };
            let attachment =
                wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(attachment)],
                ..wgpu::RenderPassDescriptor::default()
            });
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &pictures.bindings, &[]);
            if let Some((_, bindings)) = &self.uniforms {
                pass.set_bind_group(1, bindings, &[]);
            }
            pass.draw(0..3, 0..1);
            drop(pass);
            behind(&mut encoder);
            encoder.finish()
        })
    }

    /// Both have the pictures: GLES's fence before, wgpu's behind.
    fn draw_shared(&self, gl: &Gl, pictures: &Pictures, output: &crate::wgpu::Texture) -> Result<()> {
        let drawn = gl.fence()?;
        let commands = self.encode(pictures, |_| {})?;
        let mut uses: Vec<Use<'_>> = pictures.inputs.iter().filter_map(Picture::shared).map(Use::read).collect();
        uses.push(Use::overwrite(output));
        let waits: Vec<&Fence> = drawn.iter().collect();
        let work = self.device.submit(&uses, &waits, [commands])?;
        match &work.fence {
            Some(fence) => gl.wait_fence(fence),
            None => Ok(()),
        }
    }

    /// Each has its own: pixels are read back and uploaded.
    fn draw_copied(&self, gl: &Gl, pictures: &Pictures) -> Result<()> {
        for picture in &pictures.inputs {
            let size = picture.framebuffer().size();
            let mut bytes = vec![0; size.pixels() as usize * 4];
            gles::read_pixels(gl, picture.framebuffer(), &mut bytes)?;
            let rows = wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(size.width * 4),
                rows_per_image: Some(size.height),
            };
            self.device.queue().write_texture(picture.texture().as_image_copy(), &bytes, rows, extent(size));
        }
        let device = self.device.device();
        let row_bytes = (self.size.width * 4).next_multiple_of(ROW_BYTES);
        let back = wgpu::BufferDescriptor {
            label: None,
            size: u64::from(row_bytes) * u64::from(self.size.height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        };
        let back = catch(device, "wgpu buffer", || device.create_buffer(&back))?;
        let commands = self.encode(pictures, |encoder| {
            let rows = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row_bytes), rows_per_image: None };
            let into = wgpu::TexelCopyBufferInfo { buffer: &back, layout: rows };
            encoder.copy_texture_to_buffer(pictures.output.texture().as_image_copy(), into, extent(self.size));
        })?;
        let work = self.device.submit(&[], &[], [commands])?;
        work.wait(HANG)?;
        let bytes = mapped(&self.device, &back)?;
        let Some(texture) = pictures.output.framebuffer().texture() else {
            return Err(Error::failed("wgpu", "the picture is no texture"));
        };
        texture.upload(gl, &bytes, row_bytes)
    }
}

type Made =
    (wgpu::RenderPipeline, wgpu::BindGroupLayout, wgpu::Sampler, wgpu::Buffer, Option<(wgpu::Buffer, wgpu::BindGroup)>);

/// What does not change from frame to frame.
fn make(device: &wgpu::Device, wgsl: &Wgsl, inputs: usize, (filter, wrap): (Filter, Wrap)) -> Made {
    let uniform = |binding| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let mut entries = vec![
        uniform(0),
        wgpu::BindGroupLayoutEntry {
            binding: 1,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering),
            count: None,
        },
    ];
    entries.extend((2..2 + inputs as u32).map(|binding| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::FRAGMENT,
        ty: wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: true },
            view_dimension: wgpu::TextureViewDimension::D2,
            multisampled: false,
        },
        count: None,
    }));
    let group = |entries: &[wgpu::BindGroupLayoutEntry]| {
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries })
    };
    let layout = group(&entries);
    let uniforms = (wgsl.bytes > 0).then(|| {
        let layout = group(&[uniform(0)]);
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: &vec![0; wgsl.bytes],
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        });
        let entries = [wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }];
        let wanted = wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
        (layout.clone(), buffer.clone(), device.create_bind_group(&wanted))
    });
    let groups: Vec<Option<&wgpu::BindGroupLayout>> =
        [Some(&layout)].into_iter().chain(uniforms.as_ref().map(|(layout, ..)| Some(layout))).collect();
    let whole = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        bind_group_layouts: &groups,
        ..wgpu::PipelineLayoutDescriptor::default()
    });
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(wgsl.text.as_str().into()),
    });
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: None,
        layout: Some(&whole),
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("df_vertex"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("df_fragment"),
            compilation_options: Default::default(),
            targets: &[Some(FORMAT.into())],
        }),
        multiview_mask: None,
        cache: None,
    });
    let filter = match filter {
        Filter::Nearest => wgpu::FilterMode::Nearest,
        Filter::Linear => wgpu::FilterMode::Linear,
    };
    let edge = match wrap {
        Wrap::Clamp => wgpu::AddressMode::ClampToEdge,
        Wrap::Repeat => wgpu::AddressMode::Repeat,
        Wrap::Mirror => wgpu::AddressMode::MirrorRepeat,
    };
    let sampler = device.create_sampler(&wgpu::SamplerDescriptor {
        address_mode_u: edge,
        address_mode_v: edge,
        mag_filter: filter,
        min_filter: filter,
        ..wgpu::SamplerDescriptor::default()
    });
    let frame = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    (pipeline, layout, sampler, frame, uniforms.map(|(_, buffer, bindings)| (buffer, bindings)))
}
