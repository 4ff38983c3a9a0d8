//! CUDA devices, matched by UUID.
//!
//! In: a UUID, as Vulkan, OpenGL ES or another process tells it. Out: a [`Device`] with its context.
//! Not here: memory, work.
//!
//! # References
//! CUDA Driver API: `cuDeviceGetUuid`, primary contexts

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cudarc::driver::sys::{self, CUdevice_attribute, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, result};
use cudarc::nvrtc::Ptx;

use super::failed;
use crate::error::{Error, ErrorKind, Result};
use crate::gles::Gl;
use crate::vulkan;
use crate::vulkan::device::hex;

/// How often unfinished work is asked for.
const ASK_EVERY: Duration = Duration::from_micros(50);

/// A CUDA device of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// CUDA's own number of it, in this process.
    pub ordinal: usize,
    /// As the driver names it.
    pub name: String,
    /// The same as Vulkan's `deviceUUID` and OpenGL's `GL_DEVICE_UUID_EXT`.
    pub uuid: [u8; 16],
    /// Major and minor compute capability.
    pub compute: (i32, i32),
    /// Major and minor version of CUDA that the driver has.
    pub version: (i32, i32),
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (UUID {})", self.name, hex(&self.uuid))
    }
}

/// A CUDA device and its primary context, which other CUDA code of this process has too. Clones share it.
#[derive(Clone)]
pub struct Device {
    context: Arc<CudaContext>,
    info: Arc<Info>,
    kernels: Arc<OnceLock<[CudaFunction; 2]>>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda::Device({})", self.info)
    }
}

fn describe(ordinal: usize) -> Result<Info, DriverError> {
    let device = result::device::get(ordinal as i32)?;
    let uuid = result::device::get_uuid(device)?;
    let mut version = 0;
    // SAFETY: `device` is one of this driver; one number is written.
    let compute = unsafe {
        sys::cuDriverGetVersion(&mut version).result()?;
        (
            result::device::get_attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            result::device::get_attribute(device, CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        )
    };
    Ok(Info {
        ordinal,
        name: result::device::get_name(device)?,
        uuid: uuid.bytes.map(|byte| byte as u8),
        compute,
        version: (version / 1000, version % 1000 / 10),
    })
}

impl Device {
    /// The machine's CUDA devices.
    ///
    /// # Errors
    /// `Unsupported` where there is no libcuda, or no device.
    pub fn list() -> Result<Vec<Info>> {
        // SAFETY: libcuda's initialisers have no requirements.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::unsupported("libcuda.so.1", "this machine has no CUDA driver")
                .with_hint("install NVIDIA's driver with its CUDA library (Debian: libcuda1); no toolkit is needed"));
        }
        result::init().map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => failed("cuInit", "", error),
            // A driver without its kernel module, or of another version, says many things.
            _ => Error::unsupported("cuInit", format!("{:?}", error.0)).with_hint("nvidia-smi says more"),
        })?;
        let count = result::device::get_count().map_err(|error| failed("cuDeviceGetCount", "", error))?;
        (0..count.max(0) as usize)
            .map(|ordinal| describe(ordinal).map_err(|error| failed("cuDeviceGet", format!("device {ordinal}"), error)))
            .collect()
    }

    /// Opens the device with this UUID.
    ///
    /// # Errors
    /// `Unsupported` where there is no CUDA; `NotFound` where no device has this UUID, with those that there are.
    pub fn open(uuid: &[u8; 16]) -> Result<Self> {
        let list = Self::list()?;
        let there: Vec<String> = list.iter().map(Info::to_string).collect();
        let info = list.into_iter().find(|info| info.uuid == *uuid).ok_or_else(|| {
            let there = if there.is_empty() { "no CUDA device at all".into() } else { there.join(", ") };
            Error::new(ErrorKind::NotFound, "cuda device", format!("none has the UUID {}", hex(uuid)))
                .with_hint(format!("there is {there}; draw on that one, or unset CUDA_VISIBLE_DEVICES"))
        })?;
        let context =
            CudaContext::new(info.ordinal).map_err(|error| failed("cuDevicePrimaryCtxRetain", &info, error))?;
        Ok(Self { context, info: Arc::new(info), kernels: Arc::default() })
    }

    /// The device that Vulkan calls by this name.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn of_vulkan(device: &vulkan::Device) -> Result<Self> {
        Self::open(&device.info().device_uuid)
    }

    /// The device that OpenGL ES draws on.
    ///
    /// # Errors
    /// As [`Device::open`]; `Unsupported` where the driver does not tell which.
    pub fn of_gles(gl: &Gl) -> Result<Self> {
        let uuids = gl.uuids()?;
        match uuids.devices.as_slice() {
            [uuid] => Self::open(uuid),
            several => {
                let detail = format!("{} devices draw for {}", several.len(), gl.caps().renderer);
                Err(Error::unsupported("GL_DEVICE_UUID_EXT", detail))
            }
        }
    }

    /// What the driver says of the device.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The context.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Makes the context the calling thread's.
    pub(super) fn bind(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(|error| failed("cuCtxSetCurrent", &*self.info, error))
    }

    /// A stream of work.
    ///
    /// # Errors
    /// `OutOfMemory`, `Failed`.
    pub fn stream(&self) -> Result<Arc<CudaStream>> {
        self.context.new_stream().map_err(|error| failed("cuStreamCreate", "", error))
    }

    /// Takes kernels as PTX text, which the driver compiles for this device.
    ///
    /// # Errors
    /// `Unsupported`: text that the driver does not take.
    pub fn load(&self, ptx: &str) -> Result<Arc<CudaModule>> {
        if ptx.contains('\0') {
            return Err(Error::invalid("cuModuleLoadData", "a NUL in the text"));
        }
        self.context.load_module(Ptx::from_src(ptx)).map_err(|error| failed("cuModuleLoadData", "PTX text", error))
    }

    /// Those that make rows of a picture in the device's own layout, and the other way.
    pub(super) fn row_kernels(&self) -> Result<[CudaFunction; 2]> {
        if let Some(known) = self.kernels.get() {
            return Ok(known.clone());
        }
        let module = self.load(include_str!("rows.ptx"))?;
        let load = |name| module.load_function(name).map_err(|error| failed("cuModuleGetFunction", name, error));
        let kernels = [load("to_rows")?, load("from_rows")?];
        Ok(self.kernels.get_or_init(|| kernels).clone())
    }

    /// Blocks until all work of `stream` is done.
    ///
    /// # Errors
    /// `Timeout`; `ContextLost` where a kernel has failed.
    pub fn wait(&self, stream: &CudaStream, limit: Duration) -> Result<()> {
        self.bind()?;
        let begun = Instant::now();
        loop {
            // SAFETY: the stream is this context's, which is current.
            match unsafe { sys::cuStreamQuery(stream.cu_stream()) }.result() {
                Ok(()) => return Ok(()),
                Err(DriverError(CUresult::CUDA_ERROR_NOT_READY)) if begun.elapsed() < limit => {
                    std::thread::sleep(ASK_EVERY);
                }
                Err(DriverError(CUresult::CUDA_ERROR_NOT_READY)) => {
                    let detail = format!("work is not done after {limit:?}");
                    return Err(Error::new(ErrorKind::Timeout, "cuStreamQuery", detail)
                        .with_hint("a semaphore that nobody signals, or a kernel that does not end"));
                }
                Err(error) => return Err(failed("cuStreamQuery", "", error)),
            }
        }
    }
}
