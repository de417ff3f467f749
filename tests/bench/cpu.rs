//! What the server says it has spent.

use harness::Client;

/// User and system time of the thread that runs commands, in microseconds since it was started.
pub(crate) fn main_thread_micros(observer: &mut Client) -> f64 {
    let info = observer.bytes(&["INFO", "cpu"]);
    let info = String::from_utf8_lossy(&info);
    let seconds = |field: &str| -> f64 {
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("INFO cpu has no {field}: {info}"))
    };
    (seconds("used_cpu_user_main_thread") + seconds("used_cpu_sys_main_thread")) * 1e6
}
