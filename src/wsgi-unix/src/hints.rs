//! The page on which a group's daemons show how busy they are.
//!
//! Made by httpd's parent, written by daemons (each its own slot, with relaxed atomics) and by the
//! monitor (which clears the slot of a daemon that ended), read by Apache children on their request
//! threads. It is a hint and never more: any daemon of the group
//! can write any value into any slot, so no reader may index, signal or trust by it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::call::check;
use crate::memory;

/// Seals without which a mapping could shrink under its reader and raise SIGBUS.
const SIZE_SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;

/// What one daemon process tells of itself; a cache line of its own.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Slot {
    /// Requests that run now.
    pub active: AtomicU32,
    /// Requests it can run at once; 0 while no process serves.
    pub threads: AtomicU32,
    /// Its process id, for display.
    pub pid: AtomicU32,
    /// Requests it has ended since it started.
    pub served: AtomicU64,
    /// When it was last in use, [`crate::clock::monotonic_millis`]; 0: never, or not told.
    pub used: AtomicU64,
}

const SLOT_BYTES: usize = size_of::<Slot>();
const _: () = assert!(SLOT_BYTES == 64);

impl Slot {
    /// Whether a request sent now would probably find a free thread.
    pub fn has_room(&self) -> bool {
        self.active.load(Ordering::Relaxed) < self.threads.load(Ordering::Relaxed)
    }

    /// How many requests its process can run at once; 0 while no process serves.
    pub fn threads(&self) -> u32 {
        self.threads.load(Ordering::Relaxed)
    }

    /// How many more requests it could run now.
    pub fn free(&self) -> u32 {
        let active = self.active.load(Ordering::Relaxed);
        self.threads().saturating_sub(active)
    }

    /// Whether a process serves in this slot.
    pub fn is_open(&self) -> bool {
        self.threads.load(Ordering::Relaxed) > 0
    }

    /// No process is there any more.
    pub fn clear(&self) {
        self.threads.store(0, Ordering::Relaxed);
        self.active.store(0, Ordering::Relaxed);
        self.pid.store(0, Ordering::Relaxed);
    }
}

/// Makes a page of `slots` slots, all zero, whose size can never change.
///
/// `slots` of 0 is refused as [`io::ErrorKind::InvalidInput`].
pub fn create(slots: u32) -> io::Result<OwnedFd> {
    if slots == 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let file = File::from(memory::sealable(c"wsgi-hints")?);
    file.set_len(u64::from(slots) * SLOT_BYTES as u64)?;
    let fd = OwnedFd::from(file);
    memory::seal(&fd, SIZE_SEALS | libc::F_SEAL_SEAL)?;
    Ok(fd)
}

/// A mapped page; unmapped on drop. The descriptor may be closed once it is mapped.
#[derive(Debug)]
pub struct HintPage {
    start: NonNull<Slot>,
    slots: u32,
}

// SAFETY: the mapping belongs to the process, not to a thread, and holds atomics only.
unsafe impl Send for HintPage {}
// SAFETY: as for Send; every access is atomic.
unsafe impl Sync for HintPage {}

impl HintPage {
    /// Maps a page to read and write: for daemons.
    ///
    /// Anything but a file made by [`create`] is refused as [`io::ErrorKind::InvalidData`].
    pub fn map(fd: BorrowedFd<'_>) -> io::Result<HintPage> {
        HintPage::map_with(fd, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Maps a page to read: for Apache children. Errors are those of [`HintPage::map`].
    ///
    /// A store to a slot of such a page ends the process with SIGSEGV.
    pub fn map_read_only(fd: BorrowedFd<'_>) -> io::Result<HintPage> {
        HintPage::map_with(fd, libc::PROT_READ)
    }

    fn map_with(fd: BorrowedFd<'_>, protection: libc::c_int) -> io::Result<HintPage> {
        let slots = slots_of(fd)?;
        let bytes = slots as usize * SLOT_BYTES;
        // SAFETY: a fresh mapping at an address the kernel chooses cannot overlap memory in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(start.cast::<Slot>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(HintPage { start, slots })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The slot of process `index`, or `None` beyond the page.
    pub fn slot(&self, index: u32) -> Option<&Slot> {
        if index >= self.slots {
            return None;
        }
        // SAFETY: `index` is below the number of slots that were mapped at `start`.
        let slot = unsafe { self.start.add(index as usize) };
        // SAFETY: the mapping is page-aligned, lives as long as `self`, cannot shrink (sealed),
        // and holds nothing but atomics, for which every bit pattern is a value.
        Some(unsafe { slot.as_ref() })
    }

    /// How many slots the page has.
    pub fn slots(&self) -> u32 {
        self.slots
    }
}

impl Drop for HintPage {
    fn drop(&mut self) {
        let bytes = self.slots as usize * SLOT_BYTES;
        // SAFETY: exactly the range that `map_with` mapped; slots borrow `self`, so none is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
    }
}

/// The number of slots of a page, after checking that it is one.
fn slots_of(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let seals = memory::seals(fd)?;
    let length = stat_length(fd)?;
    let slots = u32::try_from(length / SLOT_BYTES as u64).unwrap_or(0);
    if seals & SIZE_SEALS != SIZE_SEALS || slots == 0 || length % SLOT_BYTES as u64 != 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok(slots)
}

fn stat_length(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is room for one `struct stat`.
    check(unsafe { libc::fstat(fd.as_raw_fd(), status.as_mut_ptr()) })?;
    // SAFETY: fstat succeeded, so it has filled the structure.
    let status = unsafe { status.assume_init() };
    Ok(u64::try_from(status.st_size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_reader_sees_what_a_daemon_writes() {
        let fd = create(3).unwrap();
        let daemon = HintPage::map(fd.as_fd()).unwrap();
        let child = HintPage::map_read_only(fd.as_fd()).unwrap();
        assert_eq!(child.slots(), 3);
        assert!(!child.slot(2).unwrap().has_room());
        daemon.slot(2).unwrap().threads.store(2, Ordering::Relaxed);
        daemon.slot(2).unwrap().active.store(1, Ordering::Relaxed);
        assert!(child.slot(2).unwrap().has_room());
        daemon.slot(2).unwrap().active.store(2, Ordering::Relaxed);
        assert!(!child.slot(2).unwrap().has_room());
        assert!(child.slot(3).is_none());
    }

    #[test]
    fn a_page_cannot_be_resized() {
        let file = File::from(create(1).unwrap());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(4096).is_err());
    }

    #[test]
    fn a_file_that_could_shrink_is_no_page() {
        let file = File::from(memory::sealable(c"test").unwrap());
        file.set_len(64).unwrap();
        let error = HintPage::map(file.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(HintPage::map(File::open("/proc/self/exe").unwrap().as_fd()).is_err());
        assert!(create(0).is_err());
    }
}
