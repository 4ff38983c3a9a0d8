//! A Vulkan program's own half: memory that the processor reads, and one compute shader that samples.
#![allow(unsafe_code)] // Vulkan is a C interface.

use darkframe::error::Result;
use darkframe::layout::Size;
use darkframe::vulkan::ash::{self, vk};
use darkframe::vulkan::{Choice, Device, Image, Submitted, Use};

use super::common::{or_skip, skip};

/// Long against anything that these tests do in an emulated machine.
pub const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// The machine's first Vulkan device: in the guests the one that draws with the processor.
pub fn device() -> Option<Device> {
    let list = or_skip("vulkan", Device::list())?;
    let Some(first) = list.first() else {
        skip("vulkan", "no Vulkan device");
        return None;
    };
    or_skip("vulkan", Device::open(&Choice::Uuid(first.device_uuid)))
}

/// Waits for work, and lets the device know that it is done.
pub fn done(device: &Device, work: &Submitted) -> Result<()> {
    work.wait(LIMIT)?;
    device.collect().map(drop)
}

/// Memory of this process that Vulkan copies to and from.
pub struct Staging<'a> {
    device: &'a ash::Device,
    pub buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    bytes: usize,
    address: *mut u8,
}

// SAFETY: the mapping is plain memory, which lives as long as this; tests read it where nobody writes.
unsafe impl Sync for Staging<'_> {}

impl<'a> Staging<'a> {
    pub fn new(device: &'a Device, bytes: usize) -> Self {
        let usage = vk::BufferUsageFlags::TRANSFER_SRC
            | vk::BufferUsageFlags::TRANSFER_DST
            | vk::BufferUsageFlags::STORAGE_BUFFER;
        let info = vk::BufferCreateInfo::default().size(bytes as u64).usage(usage);
        let visible = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
        let ash = device.ash();
        // SAFETY: made by the rules: type and size are those that the buffer asks for, mapped once, destroyed when dropped.
        unsafe {
            let buffer = ash.create_buffer(&info, None).unwrap();
            let required = ash.get_buffer_memory_requirements(buffer);
            let fits = |index: usize, kind: &vk::MemoryType| {
                required.memory_type_bits & (1 << index) != 0 && kind.property_flags.contains(visible)
            };
            let index = device.memory_types().iter().enumerate().position(|(index, kind)| fits(index, kind)).unwrap();
            let info = vk::MemoryAllocateInfo::default().allocation_size(required.size).memory_type_index(index as u32);
            let memory = ash.allocate_memory(&info, None).unwrap();
            ash.bind_buffer_memory(buffer, memory, 0).unwrap();
            let address = ash.map_memory(memory, 0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty()).unwrap().cast();
            Self { device: ash, buffer, memory, bytes, address }
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        // SAFETY: mapped with this size; the work that wrote it has been waited for.
        unsafe { std::slice::from_raw_parts(self.address, self.bytes) }.to_vec()
    }

    pub fn fill(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.bytes);
        // SAFETY: mapped with at least this size; no work uses it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address, bytes.len()) };
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // SAFETY: the work that used it has been waited for.
        unsafe {
            self.device.destroy_buffer(self.buffer, None);
            self.device.free_memory(self.memory, None);
        }
    }
}

/// All pixels of a colour image, next to each other.
pub fn whole(size: Size) -> vk::BufferImageCopy {
    let layers = vk::ImageSubresourceLayers::default().aspect_mask(vk::ImageAspectFlags::COLOR).layer_count(1);
    let extent = vk::Extent3D { width: size.width, height: size.height, depth: 1 };
    vk::BufferImageCopy::default().image_subresource(layers).image_extent(extent)
}

/// The image's bytes, copied out by Vulkan. `waits` come before.
pub fn read(image: &Image, waits: &[&darkframe::fence::Fence]) -> Result<Vec<u8>> {
    let size = image.buffer().size();
    let out = Staging::new(image.device(), size.pixels() as usize * 4);
    let layout = vk::ImageLayout::TRANSFER_SRC_OPTIMAL;
    let work = image.device().submit(&[Use::image(image, layout)], waits, |ash, commands| {
        // SAFETY: recorded between barriers that put the image into this layout; the buffer holds all pixels.
        unsafe { ash.cmd_copy_image_to_buffer(commands, image.raw(), layout, out.buffer, &[whole(size)]) };
        Ok(())
    })?;
    done(image.device(), &work)?;
    Ok(out.bytes())
}

/// Overwrites the image with `bytes`, by Vulkan.
pub fn write(image: &Image, bytes: &[u8]) -> Result<()> {
    let size = image.buffer().size();
    let input = Staging::new(image.device(), size.pixels() as usize * 4);
    input.fill(bytes);
    let layout = vk::ImageLayout::TRANSFER_DST_OPTIMAL;
    let work = image.device().submit(&[Use::image(image, layout).overwrite()], &[], |ash, commands| {
        // SAFETY: as above.
        unsafe { ash.cmd_copy_buffer_to_image(commands, input.buffer, image.raw(), layout, &[whole(size)]) };
        Ok(())
    })?;
    done(image.device(), &work)
}

/// The image sampled at the middle of every pixel, as bytes R, G, B, A; through its conversion where it has one.
pub fn sampled(image: &Image) -> Result<Vec<u8>> {
    let device = image.device();
    let (ash, size) = (device.ash(), image.buffer().size());
    let out = Staging::new(device, size.pixels() as usize * 4);
    let code = ash::util::read_spv(&mut std::io::Cursor::new(include_bytes!("sample.spv"))).unwrap();
    // SAFETY: made by the rules and destroyed behind the work; the shader declares these two bindings and eight bytes.
    unsafe {
        let own = match image.sampler() {
            Some(_) => None,
            None => {
                let edge = vk::SamplerAddressMode::CLAMP_TO_EDGE;
                let info = vk::SamplerCreateInfo::default().address_mode_u(edge).address_mode_v(edge);
                Some(ash.create_sampler(&info, None).unwrap())
            }
        };
        let samplers = [image.sampler().or(own).unwrap()];
        let stage = vk::ShaderStageFlags::COMPUTE;
        let bindings = [
            vk::DescriptorSetLayoutBinding::default()
                .binding(0)
                .descriptor_type(vk::DescriptorType::COMBINED_IMAGE_SAMPLER)
                .descriptor_count(1)
                .stage_flags(stage)
                .immutable_samplers(&samplers),
            vk::DescriptorSetLayoutBinding::default()
                .binding(1)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .descriptor_count(1)
                .stage_flags(stage),
        ];
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let sets = [ash.create_descriptor_set_layout(&info, None).unwrap()];
        let push = [vk::PushConstantRange::default().stage_flags(stage).size(8)];
        let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&push);
        let layout = ash.create_pipeline_layout(&info, None).unwrap();
        let module = ash.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&code), None).unwrap();
        let shader = vk::PipelineShaderStageCreateInfo::default().stage(stage).module(module).name(c"main");
        let info = [vk::ComputePipelineCreateInfo::default().stage(shader).layout(layout)];
        let pipeline = ash.create_compute_pipelines(vk::PipelineCache::null(), &info, None).unwrap()[0];
        let sizes = [
            // A converted image may take a descriptor for each plane.
            vk::DescriptorPoolSize::default().ty(vk::DescriptorType::COMBINED_IMAGE_SAMPLER).descriptor_count(4),
            vk::DescriptorPoolSize::default().ty(vk::DescriptorType::STORAGE_BUFFER).descriptor_count(1),
        ];
        let info = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
        let pool = ash.create_descriptor_pool(&info, None).unwrap();
        let info = vk::DescriptorSetAllocateInfo::default().descriptor_pool(pool).set_layouts(&sets);
        let set = ash.allocate_descriptor_sets(&info).unwrap();
        let read = vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL;
        let images = [vk::DescriptorImageInfo::default().image_view(image.view()).image_layout(read)];
        let buffers = [vk::DescriptorBufferInfo::default().buffer(out.buffer).range(vk::WHOLE_SIZE)];
        let writes = [
            vk::WriteDescriptorSet::default()
                .dst_set(set[0])
                .dst_binding(0)
                .descriptor_type(vk::DescriptorType::COMBINED_IMAGE_SAMPLER)
                .image_info(&images),
            vk::WriteDescriptorSet::default()
                .dst_set(set[0])
                .dst_binding(1)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .buffer_info(&buffers),
        ];
        ash.update_descriptor_sets(&writes, &[]);
        let numbers: Vec<u8> = [size.width, size.height].iter().flat_map(|number| number.to_le_bytes()).collect();
        let work = device.submit(&[Use::image(image, read)], &[], |ash, commands| {
            ash.cmd_bind_pipeline(commands, vk::PipelineBindPoint::COMPUTE, pipeline);
            ash.cmd_bind_descriptor_sets(commands, vk::PipelineBindPoint::COMPUTE, layout, 0, &set, &[]);
            ash.cmd_push_constants(commands, layout, stage, 0, &numbers);
            ash.cmd_dispatch(commands, size.width.div_ceil(8), size.height.div_ceil(8), 1);
            Ok(())
        })?;
        done(device, &work)?;
        ash.destroy_descriptor_pool(pool, None);
        ash.destroy_pipeline(pipeline, None);
        ash.destroy_shader_module(module, None);
        ash.destroy_pipeline_layout(layout, None);
        ash.destroy_descriptor_set_layout(sets[0], None);
        if let Some(own) = own {
            ash.destroy_sampler(own, None);
        }
    }
    Ok(out.bytes())
}
