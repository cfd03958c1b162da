//! Telling a forked child from the process that has the threads.

use crate::error::Result;

/// The process in which this was made. Its child by any kind of fork is another one, also where both have the same number, as
/// the first processes of two PID namespaces have.
///
/// On Linux the mark is a page that the kernel hands to a child empty: it needs no handler, which a library that is unloaded
/// would leave behind and a bare `clone` would not call. The number is looked at too, because emulators of user programs say
/// that they would empty the page and do not.
pub(crate) struct Home {
    /// Not zero at home. None where the kernel has no such pages (before Linux 4.14): the number alone decides.
    #[cfg(target_os = "linux")]
    page: Option<std::ptr::NonNull<u32>>,
    process: u32,
}

// SAFETY: the page is written before this is made, and only read after.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

#[cfg(target_os = "linux")]
impl Home {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { page: page()?, process: std::process::id() })
    }

    /// Whether this is the process that made it.
    pub(crate) fn is_here(&self) -> bool {
        // SAFETY: mapped until `drop`.
        let marked = self.page.is_none_or(|page| unsafe { page.as_ptr().read_volatile() != 0 });
        marked && self.process == std::process::id()
    }
}

/// A page that is marked here, and zero in a child.
#[cfg(target_os = "linux")]
fn page() -> Result<Option<std::ptr::NonNull<u32>>> {
    use crate::error::err;
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, wherever there is room.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), LEN, access, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(err!(OutOfMemory, "could not map a page for the pool"));
    }
    // SAFETY: the page just mapped.
    if unsafe { libc::madvise(page, LEN, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nobody has it.
        unsafe { libc::munmap(page, LEN) };
        return Ok(None);
    }
    // SAFETY: as above.
    unsafe { page.cast::<u32>().write_volatile(1) };
    Ok(std::ptr::NonNull::new(page.cast()))
}

/// The kernel makes it a page.
#[cfg(target_os = "linux")]
const LEN: usize = 1;

#[cfg(target_os = "linux")]
impl Drop for Home {
    fn drop(&mut self) {
        if let Some(page) = self.page {
            // SAFETY: mapped by `page`, used by nobody else. A child unmaps its own.
            unsafe { libc::munmap(page.as_ptr().cast(), LEN) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Home {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { process: std::process::id() })
    }

    /// Whether this is the process that made it.
    pub(crate) fn is_here(&self) -> bool {
        self.process == std::process::id()
    }
}
