//! What wgpu renders, on a display: three buffers that the display shows, drawn into as textures, each behind the fence of the one
//! before. Nothing is copied, and nobody waits but the display for the GPU and the program for the display.
//!
//!     cargo run --example wgpu --features wgpu
//!     … -- --card vkms --device llvmpipe --size 1024x768 --frames 60
//!
//! It needs a card that nobody else shows pictures on, and a Vulkan device that reaches the card's memory: by default the one of the
//! card's own node, else the first that there is.

use std::time::Duration;

use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::device::Device as Machine;
use darkframe::error::{Error, Result};
use darkframe::format::Fourcc;
use darkframe::kms::{Options as ScreenOptions, Screen};
use darkframe::layout::Size;
use darkframe::wgpu::wgpu;
use darkframe::wgpu::{Choice, Device, Options, Texture, Use, catch};

/// Waves that move.
const WAVES: &str = "
@group(0) @binding(0) var<uniform> time: vec4f;
@vertex fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
    return vec4f(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}
@fragment fn waves(@builtin(position) at: vec4f) -> @location(0) vec4f {
    let p = at.xy / 120.0;
    let v = sin(p.x + time.x) + sin(p.y * 1.3 - time.x * 0.7) + sin(length(p - vec2f(6.0, 4.0)) * 2.0 - time.x * 2.0);
    return vec4f(0.5 + 0.5 * sin(vec3f(0.0, 2.1, 4.2) + v), 1.0);
}";

struct Arguments {
    card: Option<String>,
    device: Option<String>,
    size: Size,
    frames: u32,
}

fn arguments() -> Result<Arguments> {
    let mut found = Arguments { card: None, device: None, size: Size::new(1920, 1080), frames: 300 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| Error::invalid("arguments", format!("{word} needs a value")))?;
        let wrong = || Error::invalid("arguments", format!("{word} {value}: expected numbers, as 1920x1080 and 300"));
        match word.as_str() {
            "--card" => found.card = Some(value),
            "--device" => found.device = Some(value),
            "--frames" => found.frames = value.parse().map_err(|_| wrong())?,
            "--size" => {
                let (width, height) = value.split_once('x').ok_or_else(wrong)?;
                let (width, height) = (width.parse().map_err(|_| wrong())?, height.parse().map_err(|_| wrong())?);
                found.size = Size::new(width, height);
            }
            _ => {
                let hint = "there is --card, --device, --size and --frames";
                return Err(Error::invalid("arguments", format!("unknown {word}")).with_hint(hint));
            }
        }
    }
    Ok(found)
}

/// The named Vulkan device; else the card's, else the first.
fn open(machine: &Machine, arguments: &Arguments) -> Result<Device> {
    let options = Options::default();
    if let Some(name) = &arguments.device {
        return Device::open(&Choice::Name(name.clone()), &options);
    }
    let nodes = machine.nodes().iter().filter(|node| arguments.card.as_ref().is_none_or(|card| node.driver() == card));
    for node in nodes {
        if let Ok(device) = Device::open(&Choice::Node(node.clone()), &options) {
            return Ok(device);
        }
    }
    let first = Device::list()?.into_iter().next();
    let first = first.ok_or_else(|| Error::unsupported("wgpu example", "this machine has no Vulkan device"))?;
    Device::open(&Choice::Uuid(first.device_uuid), &options)
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let size = arguments.size;
    // Memory is asked of the card that shows it.
    let board = match &arguments.card {
        Some(card) => {
            let text = format!("name = \"example\"\n[drm]\ndumb = \"{card}\"\n");
            Board::parse(std::path::Path::new("example.toml"), &text)?
        }
        None => Board::detect()?,
    };
    let machine = Machine::open(&board)?;
    let wgpu = open(&machine, &arguments)?;
    // Rows of pixels are what every display takes, and every Vulkan device.
    let request = Request::new(size, Fourcc::XRGB8888).usage(Usage::SCANOUT | Usage::RENDER).require_dma_buf();
    let buffers = (0..3).map(|_| machine.allocate(&request)).collect::<Result<Vec<_>>>()?;
    let usage = wgpu::TextureUsages::RENDER_ATTACHMENT;
    let textures = buffers.iter().map(|buffer| Texture::import(&wgpu, buffer, usage)).collect::<Result<Vec<_>>>()?;
    println!("{wgpu:?}, memory: {} by {}", buffers[0].layout(), buffers[0].provenance().allocator);
    let options = ScreenOptions { device: arguments.card.clone(), connector: None, write_back: false };
    let mut screen = Screen::open(&options, size)?;
    println!("shows {} frames on {}", arguments.frames, screen.name());

    let (pipeline, time, bindings) = catch(wgpu.device(), "waves", || make(wgpu.device(), &textures[0]))?;
    let (mut on_gpu, mut on_cpu) = (0, 0);
    for frame in 0..arguments.frames {
        let at = frame as usize % textures.len();
        let seconds = frame as f32 / 60.0;
        let bytes: Vec<u8> = [seconds, 0.0, 0.0, 0.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        wgpu.queue().write_buffer(&time, 0, &bytes);
        let mut encoder = wgpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let view = textures[at].view();
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
        let attachment = wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(attachment)],
            ..wgpu::RenderPassDescriptor::default()
        });
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        let work = wgpu.submit(&[Use::overwrite(&textures[at])], &[], [encoder.finish()])?;
        on_gpu += work.gpu_waits;
        on_cpu += work.cpu_waits;
        // The display waits for wgpu; this waits for the picture before to be on the screen.
        screen.show(buffers[at].clone(), work.fence, Box::new(()), None)?;
    }
    screen.settle()?;
    wgpu.wait(Duration::from_secs(10))?;
    println!("{} pictures shown; fences waited for: {on_gpu} by the GPU, {on_cpu} by the processor", screen.count());
    Ok(())
}

fn make(device: &wgpu::Device, target: &Texture) -> (wgpu::RenderPipeline, wgpu::Buffer, wgpu::BindGroup) {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(WAVES.into()),
    });
    let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: None,
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("corner"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("waves"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(target.texture().format().into())],
        }),
        multiview_mask: None,
        cache: None,
    });
    let time = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 16,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: time.as_entire_binding() }],
    });
    (pipeline, time, bindings)
}
