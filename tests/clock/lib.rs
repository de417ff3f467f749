//! A wall clock that a test can set: preloaded into a server (`LD_PRELOAD`), it adds to each time the seconds that stand in the file
//! `DASHBOARD_TEST_CLOCK`, as eight bytes in this machine's order. All processes of the server see the same, from one call to the next. The
//! monotonic clock stays as it is, as it does where an administrator sets the time.

use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use libc::{clockid_t, time_t, timespec, timeval, timezone};

/// The file, in memory.
struct Shift(*const AtomicI64);

// SAFETY: what it points to is mapped for as long as the process lives, and is read atomically.
unsafe impl Send for Shift {}
// SAFETY: as above.
unsafe impl Sync for Shift {}

fn shift() -> i64 {
    static SHIFT: OnceLock<Option<Shift>> = OnceLock::new();
    let Some(shift) = SHIFT.get_or_init(map) else { return 0 };
    // SAFETY: the mapping is eight bytes long at least, aligned to a page, and never undone.
    let seconds = unsafe { &*shift.0 };
    seconds.load(Ordering::Relaxed)
}

fn map() -> Option<Shift> {
    let path = std::ffi::CString::new(std::env::var("DASHBOARD_TEST_CLOCK").ok()?).ok()?;
    // SAFETY: the path ends with a zero.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    // SAFETY: a new mapping of an open file, wherever there is room.
    let at = unsafe {
        libc::mmap(ptr::null_mut(), size_of::<AtomicI64>(), libc::PROT_READ, libc::MAP_SHARED, file, 0)
    };
    // SAFETY: the file was opened above, and a mapping outlives it.
    unsafe { libc::close(file) };
    (at != libc::MAP_FAILED).then(|| Shift(at.cast_const().cast()))
}

/// As the system has it, but later.
///
/// # Safety
/// As `clock_gettime(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, at: *mut timespec) -> c_int {
    // SAFETY: the caller's arguments, as the system call wants them.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, at) };
    if result == 0 && matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE) {
        // SAFETY: the system call has just written there.
        unsafe { (*at).tv_sec += shift() };
    }
    if result == 0 { 0 } else { -1 }
}

/// As the system has it, but later.
///
/// # Safety
/// As `gettimeofday(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(at: *mut timeval, _zone: *mut timezone) -> c_int {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time goes to a place of our own.
    let result = unsafe { clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    if result == 0 && !at.is_null() {
        // SAFETY: the caller has room for a time there.
        unsafe { at.write(timeval { tv_sec: now.tv_sec, tv_usec: now.tv_nsec / 1000 }) };
    }
    result
}

/// As the system has it, but later.
///
/// # Safety
/// As `time(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(at: *mut time_t) -> time_t {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time goes to a place of our own.
    unsafe { clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    if !at.is_null() {
        // SAFETY: the caller has room for a time there.
        unsafe { at.write(now.tv_sec) };
    }
    now.tv_sec
}
