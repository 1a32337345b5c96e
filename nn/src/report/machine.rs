//! What a run ran on.

use serde::Serialize;

/// The machine and the kernels chosen for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Name of the processor, as the system gives it.
    pub cpu: String,
    /// Processors that the system offers.
    pub cores: usize,
    /// Threads used.
    pub threads: usize,
    /// Arithmetic kernels in use.
    pub kernels: &'static str,
    /// Operating system and architecture.
    pub system: String,
}

impl Machine {
    /// This machine, running on so many threads with these kernels.
    pub fn detect(threads: usize, kernels: &'static str) -> Self {
        let cpu = proc_field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cpu, cores, threads, kernels, system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH) }
    }
}

/// Largest resident memory of this process so far, where the system tells (Linux).
pub fn peak_memory_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM")
}

/// From here on, [`peak_memory_bytes`] is the largest since now, where the system lets a process say so (Linux).
pub fn forget_peak_memory() {
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        tracing::debug!("the peak of memory includes what came before");
    }
}

/// Memory that a process could get now, where the system tells (Linux).
pub fn available_memory_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemAvailable")
}

/// Resident memory of this process now, where the system tells (Linux).
pub fn resident_memory_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmRSS")
}

/// A field of the proc file system that counts kibibytes, in bytes.
fn kibibytes(path: &str, name: &str) -> Option<u64> {
    let field = proc_field(path, name)?;
    let kibibytes: u64 = field.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The value of the first line `name: value` of a file of the proc file system.
fn proc_field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
