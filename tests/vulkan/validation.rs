//! The Khronos validation layers watch the other tests: they must have nothing to say.

use std::ffi::CStr;
use std::process::Command;

use darkframe::vulkan::Device;
use darkframe::vulkan::ash::{Entry, vk};

use super::bench;
use super::common::skip;

const LAYER: &CStr = c"VK_LAYER_KHRONOS_validation";

/// Tests that the layers watch: imports, exports, copies, ownership, many submissions.
const WATCHED: &[&str] = &[
    "vulkan_copies_and_samples_what_gles_renders",
    "gles_samples_what_vulkan_writes",
    "linear_memory_is_a_vulkan_buffer_both_ways",
    "memory_that_vulkan_makes_is_a_buffer",
    "planes_lie_where_the_layout_says",
    "a_hundred_imports_leave_nothing_behind",
    "fences_pass_both_ways",
    "opaque_memory_crosses_processes",
    "sharing::",
];

/// lavapipe of Mesa 25.0 lists modifiers in `VkDrmFormatModifierPropertiesListEXT` and none in its second version, which the
/// layers read: they then take every image with a modifier for one without features.
fn second_list_is_empty(device: &Device) -> bool {
    let mut list = vk::DrmFormatModifierPropertiesListEXT::default();
    let mut second = vk::DrmFormatModifierPropertiesList2EXT::default();
    let mut found = vk::FormatProperties2::default().push_next(&mut list).push_next(&mut second);
    #[allow(unsafe_code)]
    // SAFETY: the chain is structs of this frame.
    unsafe {
        let format = vk::Format::R8G8B8A8_UNORM;
        device.instance().get_physical_device_format_properties2(device.physical(), format, &mut found);
    }
    list.drm_format_modifier_count > 0 && second.drm_format_modifier_count == 0
}

#[test]
fn the_validation_layers_have_nothing_to_say() {
    if std::env::var_os("DARKFRAME_WATCHED").is_some() {
        return;
    }
    let Some(device) = bench::device() else { return };
    #[allow(unsafe_code)]
    // SAFETY: libvulkan's initialisers have no requirements.
    let layers = unsafe { Entry::load().unwrap().enumerate_instance_layer_properties().unwrap() };
    if !layers.iter().any(|layer| layer.layer_name_as_c_str() == Ok(LAYER)) {
        return skip("vulkan-validation", "this machine has no Khronos validation layers");
    }
    let known = second_list_is_empty(&device);
    let out = Command::new(std::env::current_exe().unwrap())
        .args(WATCHED)
        .args(["--nocapture", "--test-threads=1"])
        .env("DARKFRAME_WATCHED", "1")
        .env("DARKFRAME_LONG", "40")
        .env("VK_INSTANCE_LAYERS", LAYER.to_str().unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    // A message is a line with its number, and one that says what.
    let lines: Vec<&str> = text.lines().collect();
    let mut excused = 0;
    let mut messages = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("Validation ")) {
        let said = lines.get(index + 1).copied().unwrap_or_default();
        let features = ["has no supported format features", "VkFormatFeatureFlags2(0)"];
        match known && features.iter().any(|words| said.contains(words)) {
            true => excused += 1,
            false => messages.push(format!("{line}\n    {said}")),
        }
    }
    messages.dedup();
    assert!(messages.is_empty(), "{} messages:\n{}", messages.len(), messages.join("\n"));
    assert!(!known || excused > 0, "the layers do not mind the empty list any more: take this fault out");
    println!(
        "{} tests watched: no message of ours, {excused} of the driver's empty list",
        text.matches("... ").count()
    );
}
