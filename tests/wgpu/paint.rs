//! Draws of wgpu over a whole target, in WGSL that says the colour of each pixel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use darkframe::error::Result;
use darkframe::fence::Fence;
use darkframe::layout::Size;
use darkframe::wgpu::wgpu;
use darkframe::wgpu::{Device, Submitted, Texture, Use, catch};

/// A shader with `fn color(at: vec2u) -> vec4f`, which reads the textures `input_0`, `input_1`, ….
pub struct Painter {
    device: Device,
    /// Made once for each format.
    pipelines: RefCell<HashMap<wgpu::TextureFormat, wgpu::RenderPipeline>>,
    text: String,
    inputs: usize,
}

impl Painter {
    pub fn new(device: &Device, color: &str, inputs: usize) -> Self {
        let mut text = String::new();
        for index in 0..inputs {
            text += &format!("@group(0) @binding({index}) var input_{index}: texture_2d<f32>;\n");
        }
        text += color;
        text += "
            @vertex fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
                return vec4f(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
            }
            @fragment fn pixel(@builtin(position) at: vec4f) -> @location(0) vec4f { return color(vec2u(at.xy)); }";
        Self { device: device.clone(), pipelines: RefCell::default(), text, inputs }
    }

    fn pipeline(&self, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
        self.pipelines.borrow_mut().entry(format).or_insert_with(|| self.new_pipeline(format)).clone()
    }

    fn new_pipeline(&self, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
        let device = self.device.device();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(self.text.as_str().into()),
        });
        device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: None,
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: Default::default(),
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("pixel"),
                compilation_options: Default::default(),
                targets: &[Some(format.into())],
            }),
            multiview_mask: None,
            cache: None,
        })
    }

    fn commands(
        &self,
        target: &wgpu::Texture,
        inputs: &[&Texture],
        load: wgpu::LoadOp<wgpu::Color>,
    ) -> wgpu::CommandBuffer {
        assert_eq!(inputs.len(), self.inputs);
        let device = self.device.device();
        let recorded = catch(device, "test", || {
            let pipeline = self.pipeline(target.format());
            let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
            let entries: Vec<_> = views
                .iter()
                .zip(0..)
                .map(|(view, binding)| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::TextureView(view),
                })
                .collect();
            let bindings = (!inputs.is_empty()).then(|| {
                let layout = pipeline.get_bind_group_layout(0);
                device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries })
            });
            let view = target.create_view(&Default::default());
            let mut encoder = device.create_command_encoder(&Default::default());
            let ops = wgpu::Operations { load, store: wgpu::StoreOp::Store };
            let attachment =
                wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(attachment)],
                ..Default::default()
            });
            pass.set_pipeline(&pipeline);
            if let Some(bindings) = &bindings {
                pass.set_bind_group(0, bindings, &[]);
            }
            pass.draw(0..3, 0..1);
            drop(pass);
            encoder.finish()
        });
        recorded.unwrap()
    }

    /// Draws over all of a texture.
    pub fn paint(&self, target: Use<'_>, inputs: &[&Texture], waits: &[&Fence]) -> Result<Submitted> {
        self.submit(target, inputs, waits, wgpu::LoadOp::Clear(wgpu::Color::BLACK))
    }

    /// Draws over what is there.
    pub fn paint_over(&self, target: Use<'_>, inputs: &[&Texture], waits: &[&Fence]) -> Result<Submitted> {
        self.submit(target, inputs, waits, wgpu::LoadOp::Load)
    }

    fn submit(
        &self,
        target: Use<'_>,
        inputs: &[&Texture],
        waits: &[&Fence],
        load: wgpu::LoadOp<wgpu::Color>,
    ) -> Result<Submitted> {
        let commands = self.commands(target.texture().texture(), inputs, load);
        let mut uses: Vec<Use<'_>> = inputs.iter().map(|input| Use::read(input)).collect();
        uses.push(target);
        self.device.submit(&uses, waits, [commands])
    }

    /// Draws into a texture of wgpu's own of the first input's size, as bytes R, G, B, A.
    pub fn sampled(&self, inputs: &[&Texture], waits: &[&Fence]) -> (Vec<u8>, Submitted) {
        self.of(inputs[0].buffer().size(), inputs, waits)
    }

    pub fn of(&self, size: Size, inputs: &[&Texture], waits: &[&Fence]) -> (Vec<u8>, Submitted) {
        let device = self.device.device();
        let extent = wgpu::Extent3d { width: size.width, height: size.height, depth_or_array_layers: 1 };
        let target = device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let row = size.width * 4;
        assert_eq!(row % 256, 0, "the tests' pictures are so wide");
        let back = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(row * size.height),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let drawn = self.commands(&target, inputs, wgpu::LoadOp::Clear(wgpu::Color::BLACK));
        let mut encoder = device.create_command_encoder(&Default::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        encoder.copy_texture_to_buffer(
            target.as_image_copy(),
            wgpu::TexelCopyBufferInfo { buffer: &back, layout },
            extent,
        );
        let uses: Vec<Use<'_>> = inputs.iter().map(|input| Use::read(input)).collect();
        let work = self.device.submit(&uses, waits, [drawn, encoder.finish()]).unwrap();
        back.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
        self.device.wait(Duration::from_secs(30)).unwrap();
        let bytes = back.get_mapped_range(..).unwrap().to_vec();
        (bytes, work)
    }
}
