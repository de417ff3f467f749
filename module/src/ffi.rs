//! The one file that speaks C: every unsafe block of the module stands here, behind safe functions.
//!
//! What `redis-module` wraps well is used from there. Here is what it does not: blocked clients with all
//! their callbacks, reading a string without copying it, timers and wake-ups, command declarations, the
//! server events with their data.
//!
//! Everything runs on the server's main thread, except [`wake`].
#![allow(unsafe_code, reason = "the only file that may")]

use crate::declare::{Arg, Declaration, Keys};
use once_cell::sync::OnceCell;
use redis_module::{Context, raw};
use std::ffi::{CStr, c_char, c_int, c_ulonglong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

type Ctx = *mut raw::RedisModuleCtx;
type Key = *mut raw::RedisModuleKey;
type Str = *mut raw::RedisModuleString;
type User = *mut raw::RedisModuleUser;
type Blocked = *mut raw::RedisModuleBlockedClient;

macro_rules! api {
    ($($field:ident = $name:ident($($arg:ty),*) $(-> $result:ty)?;)*) => {
        /// The server's functions, looked up once: a server that lacks one is refused at load.
        struct Api { $($field: unsafe extern "C" fn($($arg),*) $(-> $result)?),* }

        impl Api {
            fn load() -> Result<Self, String> {
                $(
                    // SAFETY: the server fills these statics before it calls the load function, and
                    // nothing writes them afterwards.
                    let $field = unsafe { raw::$name };
                    let Some($field) = $field else {
                        return Err(format!("this server has no {}; Redis 7.0 or newer is needed", stringify!($name)));
                    };
                )*
                Ok(Self { $($field),* })
            }
        }
    };
}

api! {
    open_key = RedisModule_OpenKey(Ctx, Str, c_int) -> Key;
    close_key = RedisModule_CloseKey(Key);
    key_type = RedisModule_KeyType(Key) -> c_int;
    string_dma = RedisModule_StringDMA(Key, *mut usize, c_int) -> *mut c_char;
    abs_expire = RedisModule_GetAbsExpire(Key) -> raw::mstime_t;
    get_lru = RedisModule_GetLRU(Key, *mut raw::mstime_t) -> c_int;
    get_lfu = RedisModule_GetLFU(Key, *mut i64) -> c_int;
    set_lru = RedisModule_SetLRU(Key, raw::mstime_t) -> c_int;
    create_string = RedisModule_CreateString(Ctx, *const c_char, usize) -> Str;
    free_string = RedisModule_FreeString(Ctx, Str);
    milliseconds = RedisModule_Milliseconds() -> raw::mstime_t;
    select_db = RedisModule_SelectDb(Ctx, c_int) -> c_int;
    selected_db = RedisModule_GetSelectedDb(Ctx) -> c_int;
    db_size = RedisModule_DbSize(Ctx) -> c_ulonglong;
    signal_modified = RedisModule_SignalModifiedKey(Ctx, Str) -> c_int;
    avoid_replica_traffic = RedisModule_AvoidReplicaTraffic() -> c_int;
    key_at_pos = RedisModule_KeyAtPosWithFlags(Ctx, c_int, c_int);
    block_client = RedisModule_BlockClient(Ctx, raw::RedisModuleCmdFunc, raw::RedisModuleCmdFunc,
        Option<unsafe extern "C" fn(Ctx, *mut c_void)>, i64) -> Blocked;
    unblock_client = RedisModule_UnblockClient(Blocked, *mut c_void) -> c_int;
    on_disconnect = RedisModule_SetDisconnectCallback(Blocked, raw::RedisModuleDisconnectFunc);
    blocked_handle = RedisModule_GetBlockedClientHandle(Ctx) -> Blocked;
    measure_start = RedisModule_BlockedClientMeasureTimeStart(Blocked) -> c_int;
    measure_end = RedisModule_BlockedClientMeasureTimeEnd(Blocked) -> c_int;
    detached_context = RedisModule_GetDetachedThreadSafeContext(Ctx) -> Ctx;
    free_context = RedisModule_FreeThreadSafeContext(Ctx);
    memory_ratio = RedisModule_GetUsedMemoryRatio() -> f32;
    create_timer = RedisModule_CreateTimer(Ctx, raw::mstime_t, raw::RedisModuleTimerProc, *mut c_void) -> u64;
    stop_timer = RedisModule_StopTimer(Ctx, u64, *mut *mut c_void) -> c_int;
    add_one_shot = RedisModule_EventLoopAddOneShot(raw::RedisModuleEventLoopOneShotFunc, *mut c_void) -> c_int;
    subscribe = RedisModule_SubscribeToServerEvent(Ctx, raw::RedisModuleEvent, raw::RedisModuleEventCallback) -> c_int;
    subscribe_keys = RedisModule_SubscribeToKeyspaceEvents(Ctx, c_int, raw::RedisModuleNotificationFunc) -> c_int;
    client_id = RedisModule_GetClientId(Ctx) -> u64;
    client_info = RedisModule_GetClientInfoById(*mut c_void, u64) -> c_int;
    client_user = RedisModule_GetClientUserNameById(Ctx, u64) -> Str;
    string_bytes = RedisModule_StringPtrLen(*const raw::RedisModuleString, *mut usize) -> *const c_char;
    current_user = RedisModule_GetCurrentUserName(Ctx) -> Str;
    user_by_name = RedisModule_GetModuleUserFromUserName(Str) -> User;
    free_user = RedisModule_FreeModuleUser(User);
    may_run = RedisModule_ACLCheckCommandPermissions(User, *mut Str, c_int) -> c_int;
    get_command = RedisModule_GetCommand(Ctx, *const c_char) -> *mut raw::RedisModuleCommand;
    set_command_info = RedisModule_SetCommandInfo(*mut raw::RedisModuleCommand, *const raw::RedisModuleCommandInfo) -> c_int;
}

/// What the module does when the server calls. All are plain functions on the main thread.
pub(crate) struct Callbacks {
    /// A timer of [`arm`] has fired. The context may write.
    pub(crate) pump: fn(&Context),
    /// The wake-up of [`wake`] has arrived.
    pub(crate) woken: fn(),
    /// A blocked client is to be answered, now.
    pub(crate) reply: fn(&Context, Handle),
    /// A blocked client is to be answered because `CLIENT UNBLOCK` says so.
    pub(crate) unblocked: fn(&Context, Handle),
    /// A blocked client has gone, or has been answered by the server.
    pub(crate) gone: fn(Handle),
    /// Something happened to the server.
    pub(crate) event: fn(&Context, ServerEvent),
    /// Something has happened to a key: the event's name, and the key's.
    pub(crate) key_event: fn(&Context, &[u8], &[u8]),
}

/// Server events that change what is stored or who may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerEvent {
    /// `FLUSHALL` (`None`) or `FLUSHDB`.
    Flushed(Option<i32>),
    Swapped(i32, i32),
    /// This server has become a primary or a replica.
    RoleChanged,
    /// All data is replaced from a file of this server.
    Loading,
    /// All data is replaced by that of its primary.
    LoadingFromPrimary,
}

struct Server {
    api: Api,
    callbacks: Callbacks,
}

static SERVER: OnceCell<Server> = OnceCell::new();

/// A context for what has none of its own: making timers. One for each load: this library may stay in
/// memory when it is unloaded, and the server's record of the module does not.
static DETACHED: AtomicPtr<raw::RedisModuleCtx> = AtomicPtr::new(null_mut());

/// Looks up the server's functions and subscribes to its events. Call once, at load.
///
/// # Errors
/// A sentence for the log that names what the server lacks.
pub(crate) fn init(ctx: &Context, callbacks: Callbacks) -> Result<(), String> {
    let server = SERVER.get_or_try_init(|| Ok::<_, String>(Server { api: Api::load()?, callbacks }))?;
    // SAFETY: `ctx` is the context of the load function.
    DETACHED.store(unsafe { (server.api.detached_context)(ctx.ctx) }, Ordering::Relaxed);
    for id in [
        raw::REDISMODULE_EVENT_FLUSHDB,
        raw::REDISMODULE_EVENT_SWAPDB,
        raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
        raw::REDISMODULE_EVENT_LOADING,
    ] {
        let event = raw::RedisModuleEvent { id, dataver: 1 };
        // SAFETY: `ctx` is the context of the load function; the callback lives as long as the module.
        if unsafe { (server.api.subscribe)(ctx.ctx, event, Some(event_callback)) } != 0 {
            return Err(format!("this server refuses a subscription to its event {id}"));
        }
    }
    let kinds = raw::REDISMODULE_NOTIFY_GENERIC
        | raw::REDISMODULE_NOTIFY_STRING
        | raw::REDISMODULE_NOTIFY_EXPIRED
        | raw::REDISMODULE_NOTIFY_EVICTED
        | raw::REDISMODULE_NOTIFY_NEW;
    // SAFETY: `ctx` is the context of the load function; the callback lives as long as the module.
    if unsafe { (server.api.subscribe_keys)(ctx.ctx, kinds, Some(key_event_callback)) } != 0 {
        return Err("this server refuses a subscription to the events of keys".to_owned());
    }
    Ok(())
}

/// Gives back what [`init`] took. Call last, when unloading or where a load fails.
pub(crate) fn release() {
    let detached = DETACHED.swap(null_mut(), Ordering::Relaxed);
    if let Some(s) = SERVER.get().filter(|_| !detached.is_null()) {
        // SAFETY: made by `init`, and taken out: nothing uses it any more.
        unsafe { (s.api.free_context)(detached) };
    }
}

/// Runs what the server called; a panic ends here, is logged, and becomes `otherwise`.
pub(crate) fn guarded<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        redis_module::logging::log_warning(format!("a panic was caught, please report it: {text}"));
        otherwise
    })
}

/// The server's clock, in milliseconds since 1970.
#[inline]
pub(crate) fn now() -> i64 {
    // SAFETY: takes nothing, touches nothing.
    SERVER.get().map_or(0, |s| unsafe { (s.api.milliseconds)() })
}

// ── Keys ────────────────────────────────────────────────────────────────────────────────────────────

/// What a key holds.
pub(crate) enum Held<T> {
    Absent,
    WrongType,
    String(T),
}

/// A string of the server, freed in Drop.
struct OwnedStr(Ctx, Str, &'static Api);

impl OwnedStr {
    fn new(api: &'static Api, ctx: Ctx, bytes: &[u8]) -> Self {
        // SAFETY: the server copies the bytes.
        Self(ctx, unsafe { (api.create_string)(ctx, bytes.as_ptr().cast(), bytes.len()) }, api)
    }

    fn bytes(&self) -> &[u8] {
        let mut len = 0;
        // SAFETY: a string that is ours; `len` outlives the call.
        let bytes = unsafe { (self.2.string_bytes)(self.1, &raw mut len) };
        // SAFETY: the server keeps these bytes as they are for as long as the string lives.
        unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) }
    }
}

impl Drop for OwnedStr {
    fn drop(&mut self) {
        // SAFETY: made by `create_string` with this context, and freed only here.
        unsafe { (self.2.free_string)(self.0, self.1) }
    }
}

/// An open key, closed in Drop.
struct OpenKey(Key, &'static Api, #[allow(dead_code, reason = "outlives the open key")] OwnedStr);

impl OpenKey {
    /// `None` where there is no such key.
    fn open(api: &'static Api, ctx: &Context, name: &[u8], mode: u32) -> Option<Self> {
        let name = OwnedStr::new(api, ctx.ctx, name);
        // SAFETY: context and name are valid for the call.
        let key = unsafe { (api.open_key)(ctx.ctx, name.1, mode as c_int) };
        (!key.is_null()).then_some(Self(key, api, name))
    }

    fn idle(&self) -> Option<Duration> {
        let mut idle = -1;
        // SAFETY: an open key; `idle` outlives the call.
        let kept = unsafe { (self.1.get_lru)(self.0, &raw mut idle) } == 0;
        u64::try_from(idle).ok().filter(|_| kept).map(Duration::from_millis)
    }

    fn frequency(&self) -> Option<i64> {
        let mut frequency = -1;
        // SAFETY: an open key; `frequency` outlives the call.
        let kept = unsafe { (self.1.get_lfu)(self.0, &raw mut frequency) } == 0;
        (kept && frequency >= 0).then_some(frequency)
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed only here.
        unsafe { (self.1.close_key)(self.0) }
    }
}

/// Reads the string at `name` in place. `read` gets its bytes and the time its key expires, if it does; the
/// bytes are the server's own memory, so `read` must not call the server in a way that could write.
#[inline]
pub(crate) fn read_string<T>(
    ctx: &Context,
    name: &[u8],
    touch: bool,
    read: impl FnOnce(&[u8], Option<i64>) -> T,
) -> Held<T> {
    let Some(Server { api, .. }) = SERVER.get() else { return Held::Absent };
    let mode = raw::REDISMODULE_READ | if touch { 0 } else { raw::REDISMODULE_OPEN_KEY_NOTOUCH };
    let Some(key) = OpenKey::open(api, ctx, name, mode) else { return Held::Absent };
    // SAFETY: an open key.
    if unsafe { (api.key_type)(key.0) } as isize != raw::REDISMODULE_KEYTYPE_STRING {
        return Held::WrongType;
    }
    let mut len = 0;
    // SAFETY: an open key that holds a string; `len` outlives the call.
    let bytes = unsafe { (api.string_dma)(key.0, &raw mut len, raw::REDISMODULE_READ as c_int) };
    // SAFETY: an open key.
    let expiry = unsafe { (api.abs_expire)(key.0) };
    if bytes.is_null() {
        return Held::Absent;
    }
    // SAFETY: the server keeps these bytes in place while the key is open for reading and nothing writes;
    // the slice does not leave `read`.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) };
    Held::String(read(bytes, (expiry >= 0).then_some(expiry)))
}

/// Opens a key without that counting as a read of it; `None` where there is none.
fn untouched(ctx: &Context, name: &[u8]) -> Option<OpenKey> {
    let Server { api, .. } = SERVER.get()?;
    OpenKey::open(api, ctx, name, raw::REDISMODULE_READ | raw::REDISMODULE_OPEN_KEY_NOTOUCH)
}

/// For how long nobody has read the key; `None` where the server does not keep that (LFU) or has no key.
pub(crate) fn idle(ctx: &Context, name: &[u8]) -> Option<Duration> {
    untouched(ctx, name)?.idle()
}

/// Whether somebody has read the key within `window`. Under LFU the server keeps no times, but a frequency
/// that falls by one a minute: there, whether that is above the one a new key has.
pub(crate) fn read_within(ctx: &Context, name: &[u8], window: Duration) -> bool {
    /// The server's LFU_INIT_VAL.
    const NEW: i64 = 5;
    let Some(key) = untouched(ctx, name) else { return false };
    match key.idle() {
        Some(idle) => idle < window,
        None => key.frequency().is_some_and(|frequency| frequency > NEW) && !window.is_zero(),
    }
}

/// For how long nobody has read the key, in milliseconds; the greatest number where there is no key. Under LFU
/// the less often it is read the greater.
pub(crate) fn unread(ctx: &Context, name: &[u8]) -> u64 {
    let Some(key) = untouched(ctx, name) else { return u64::MAX };
    match key.idle() {
        Some(idle) => u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
        // A frequency is at most 255.
        None => key.frequency().map_or(u64::MAX, |frequency| 255 - frequency.unsigned_abs().min(255)),
    }
}

/// Makes the key as long unread as it was before a write that nobody asked for.
pub(crate) fn set_idle(ctx: &Context, name: &[u8], idle: Duration) {
    if let Some(key) = untouched(ctx, name) {
        // SAFETY: an open key. Fails only under LFU, where there is nothing to keep.
        unsafe { (key.1.set_lru)(key.0, raw::mstime_t::try_from(idle.as_millis()).unwrap_or(0)) };
    }
}

/// Tells tracking clients (and WATCH) that what they read under `name` is no longer right.
pub(crate) fn signal_modified(ctx: &Context, name: &str) {
    let Some(Server { api, .. }) = SERVER.get() else { return };
    let name = OwnedStr::new(api, ctx.ctx, name.as_bytes());
    // SAFETY: context and name are valid; the key need not exist.
    unsafe { (api.signal_modified)(ctx.ctx, name.1) };
}

pub(crate) fn selected_db(ctx: &Context) -> i32 {
    // SAFETY: a valid context.
    SERVER.get().map_or(0, |s| unsafe { (s.api.selected_db)(ctx.ctx) })
}

/// Makes the context work on a database; false where there is none of that number.
pub(crate) fn select_db(ctx: &Context, db: i32) -> bool {
    // SAFETY: a valid context.
    SERVER.get().is_some_and(|s| unsafe { (s.api.select_db)(ctx.ctx, db) } == 0)
}

/// Brings a context back to the database that it worked on, in Drop: also where what was done meanwhile panics. (The
/// context of a command is its client's: the client would go on in another database.)
#[must_use]
pub(crate) struct ReturnHere<'a>(&'a Context, i32);

impl Drop for ReturnHere<'_> {
    fn drop(&mut self) {
        select_db(self.0, self.1);
    }
}

/// The context may work on other databases until this is dropped.
pub(crate) fn return_here(ctx: &Context) -> ReturnHere<'_> {
    ReturnHere(ctx, selected_db(ctx))
}

/// The databases that hold any key. The context works on the same one afterwards.
pub(crate) fn filled_databases(ctx: &Context) -> Vec<i32> {
    let _return = return_here(ctx);
    // SAFETY: a valid context.
    let size = || SERVER.get().map_or(0, |s| unsafe { (s.api.db_size)(ctx.ctx) });
    (0..).take_while(|db| select_db(ctx, *db)).filter(|_| size() > 0).collect()
}

/// Writes are to be avoided for now: clients are paused, or a fail-over is under way.
pub(crate) fn writes_paused() -> bool {
    // SAFETY: takes nothing, touches nothing.
    SERVER.get().is_some_and(|s| unsafe { (s.api.avoid_replica_traffic)() } != 0)
}

/// The memory in use, as a share of `maxmemory`; 0 where there is no such bound.
pub(crate) fn memory_ratio() -> f32 {
    // SAFETY: takes nothing, changes nothing.
    SERVER.get().map_or(0.0, |s| unsafe { (s.api.memory_ratio)() })
}

/// The client of a command as `CLIENT LIST` shows it: `id=7 addr=127.0.0.1:50000 name=worker user=app`. What the
/// server does not know is left out.
pub(crate) fn client(ctx: &Context) -> String {
    let Some(Server { api, .. }) = SERVER.get() else { return String::new() };
    // SAFETY: a valid context.
    let id = unsafe { (api.client_id)(ctx.ctx) };
    let mut words = vec![format!("id={id}")];
    let mut info = raw::RedisModuleClientInfo { version: 1, flags: 0, id, addr: [0; 46], port: 0, db: 0 };
    // SAFETY: the server fills a structure of the version that it names.
    if unsafe { (api.client_info)((&raw mut info).cast(), id) } == 0 {
        let address: Vec<u8> = info.addr.iter().map(|c| c.cast_unsigned()).take_while(|c| *c != 0).collect();
        words.push(format!("addr={}:{}", String::from_utf8_lossy(&address), info.port));
    }
    // SAFETY: filled by the server before the load, as the table above. Not in it: it came with Redis 7.0.3.
    let name = unsafe { raw::RedisModule_GetClientNameById };
    for (word, get) in [("name", name), ("user", Some(api.client_user))] {
        // SAFETY: a valid context; the server knows the client of a running command.
        let text = get.map_or(null_mut(), |get| unsafe { get(ctx.ctx, id) });
        if !text.is_null() {
            let text = OwnedStr(ctx.ctx, text, api);
            words.push(format!("{word}={}", String::from_utf8_lossy(text.bytes())));
        }
    }
    words.join(" ")
}

/// Whether the user of the running command may run this one: its name and its keys, together in one of the sets of
/// rules that the user has. False where there is no such user (any more).
pub(crate) fn user_may_run(ctx: &Context, command: &[&str]) -> bool {
    /// A user looked up by name, freed in Drop.
    struct OwnedUser(User, &'static Api);
    impl Drop for OwnedUser {
        fn drop(&mut self) {
            // SAFETY: looked up below, and freed only here.
            unsafe { (self.1.free_user)(self.0) }
        }
    }
    let Some(Server { api, .. }) = SERVER.get() else { return false };
    // SAFETY: the context of a running command; null where that is not a client's own.
    let name = unsafe { (api.current_user)(ctx.ctx) };
    if name.is_null() {
        return false;
    }
    let name = OwnedStr(ctx.ctx, name, api);
    // SAFETY: a string of the server; null where there is no such user.
    let user = unsafe { (api.user_by_name)(name.1) };
    if user.is_null() {
        return false;
    }
    let user = OwnedUser(user, api);
    let words: Vec<OwnedStr> =
        command.iter().map(|word| OwnedStr::new(api, ctx.ctx, word.as_bytes())).collect();
    let mut words: Vec<Str> = words.iter().map(|word| word.1).collect();
    // SAFETY: a user, and as many strings as are said, all of which live until the end of this function.
    unsafe { (api.may_run)(user.0, words.as_mut_ptr(), words.len() as c_int) == 0 }
}

/// Whether rules for categories of commands (`+@read`) reach a module's commands on this server.
pub(crate) fn has_command_categories() -> bool {
    // SAFETY: filled by the server before the load, as the table above. Not in it: it came with Redis 7.2.
    unsafe { raw::RedisModule_SetCommandACLCategories }.is_some()
}

// ── Blocked clients ─────────────────────────────────────────────────────────────────────────────────

/// The identity of a blocked client, from [`BlockedClient::block`] until it is answered or has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Handle(usize);

/// A client that waits: an obligation to answer. Dropping it wakes the client, whose answer then comes from
/// [`Callbacks::reply`]; so it is released exactly once, on every path.
///
/// It is blocked without a time-out of the server's: deadlines are kept by the engine and end in a timer.
/// (Redis 7.0 loses the reply of a client whose time-out passes between its release and the next turn of
/// the event loop. Without one, and with all releases made from a timer, which runs last in a turn, there
/// is no such moment.)
#[derive(Debug)]
pub(crate) struct BlockedClient(Blocked);

// SAFETY: the handle is only passed back to the server, on the main thread; it moves as part of the state
// behind the module's mutex.
unsafe impl Send for BlockedClient {}

impl BlockedClient {
    /// Blocks the client of a command. The context must allow that: see [`crate::commands::may_block`].
    pub(crate) fn block(ctx: &Context) -> Option<Self> {
        let Server { api, .. } = SERVER.get()?;
        // SAFETY: the context of a running command; the callbacks live as long as the module, which the
        // server keeps loaded while it has blocked clients.
        let client =
            unsafe { (api.block_client)(ctx.ctx, Some(reply_callback), Some(unblocked_callback), None, 0) };
        if client.is_null() {
            return None;
        }
        // SAFETY: the client has just been blocked.
        unsafe { (api.on_disconnect)(client, Some(gone_callback)) };
        // SAFETY: the same.
        unsafe { (api.measure_start)(client) };
        Some(Self(client))
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle(self.0 as usize)
    }
}

impl Drop for BlockedClient {
    fn drop(&mut self) {
        if let Some(Server { api, .. }) = SERVER.get() {
            // SAFETY: the client has not been released: this is the only place that does.
            unsafe { (api.measure_end)(self.0) };
            // SAFETY: the same. There is no private data to pass on.
            unsafe { (api.unblock_client)(self.0, null_mut()) };
        }
    }
}

fn handle_of(ctx: Ctx) -> Option<Handle> {
    // SAFETY: the context of a reply or unblock callback has a handle.
    SERVER.get().map(|s| Handle(unsafe { (s.api.blocked_handle)(ctx) } as usize))
}

unsafe extern "C" fn reply_callback(ctx: Ctx, _: *mut Str, _: c_int) -> c_int {
    answer(ctx, |callbacks| callbacks.reply)
}

unsafe extern "C" fn unblocked_callback(ctx: Ctx, _: *mut Str, _: c_int) -> c_int {
    answer(ctx, |callbacks| callbacks.unblocked)
}

/// Has a blocked client answered by one of the callbacks; a panic there is an answer too.
fn answer(ctx: Ctx, with: impl Fn(&Callbacks) -> fn(&Context, Handle)) -> c_int {
    let ctx = Context::new(ctx);
    let answered = guarded(false, || {
        if let (Some(s), Some(handle)) = (SERVER.get(), handle_of(ctx.ctx)) {
            with(&s.callbacks)(&ctx, handle);
        }
        true
    });
    if !answered {
        crate::reply::error(&ctx, &crate::errors::Error::internal());
    }
    0
}

unsafe extern "C" fn gone_callback(_: Ctx, client: Blocked) {
    guarded((), || {
        if let Some(s) = SERVER.get() {
            (s.callbacks.gone)(Handle(client as usize));
        }
    });
}

// ── Timers and wake-ups ─────────────────────────────────────────────────────────────────────────────

/// A timer that has not fired.
#[derive(Debug)]
pub(crate) struct Timer(u64);

/// Calls [`Callbacks::pump`] after `delay`, from a timer: last in a turn of the event loop, with a context
/// whose writes are propagated, and never inside a busy script or while loading.
pub(crate) fn arm(delay: Duration) -> Option<Timer> {
    let Server { api, .. } = SERVER.get()?;
    let detached = DETACHED.load(Ordering::Relaxed);
    if detached.is_null() {
        return None;
    }
    let delay = raw::mstime_t::try_from(delay.as_millis()).unwrap_or(raw::mstime_t::MAX);
    // SAFETY: on the main thread, with the context made at load.
    Some(Timer(unsafe { (api.create_timer)(detached, delay, Some(pump_callback), null_mut()) }))
}

pub(crate) fn disarm(timer: &Timer) {
    let detached = DETACHED.load(Ordering::Relaxed);
    if let Some(Server { api, .. }) = SERVER.get().filter(|_| !detached.is_null()) {
        // SAFETY: on the main thread; a timer that has fired is not found, and nothing happens.
        unsafe { (api.stop_timer)(detached, timer.0, null_mut()) };
    }
}

unsafe extern "C" fn pump_callback(ctx: Ctx, _: *mut c_void) {
    guarded((), || {
        if let Some(s) = SERVER.get() {
            (s.callbacks.pump)(&Context::new(ctx));
        }
    });
}

/// Calls [`Callbacks::woken`] on the main thread, soon. The only function here for other threads.
pub(crate) fn wake() {
    if let Some(s) = SERVER.get() {
        // SAFETY: this one function of the server may be called from any thread.
        unsafe { (s.api.add_one_shot)(Some(woken_callback), null_mut()) };
    }
}

unsafe extern "C" fn woken_callback(_: *mut c_void) {
    guarded((), || {
        if let Some(s) = SERVER.get() {
            (s.callbacks.woken)();
        }
    });
}

// ── Server events ───────────────────────────────────────────────────────────────────────────────────

unsafe extern "C" fn event_callback(ctx: Ctx, event: raw::RedisModuleEvent, sub: u64, data: *mut c_void) {
    guarded((), || {
        let event = match event.id {
            raw::REDISMODULE_EVENT_FLUSHDB if sub == raw::REDISMODULE_SUBEVENT_FLUSHDB_START => {
                // SAFETY: the data of this event is this struct.
                let db = unsafe { (*data.cast::<raw::RedisModuleFlushInfoV1>()).dbnum };
                ServerEvent::Flushed((db >= 0).then_some(db))
            }
            raw::REDISMODULE_EVENT_SWAPDB => {
                // SAFETY: the data of this event is this struct.
                let swap = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfoV1>() };
                ServerEvent::Swapped(swap.dbnum_first, swap.dbnum_second)
            }
            raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED => ServerEvent::RoleChanged,
            raw::REDISMODULE_EVENT_LOADING if sub == raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => {
                ServerEvent::LoadingFromPrimary
            }
            raw::REDISMODULE_EVENT_LOADING if sub < raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => {
                ServerEvent::Loading
            }
            _ => return,
        };
        if let Some(s) = SERVER.get() {
            (s.callbacks.event)(&Context::new(ctx), event);
        }
    });
}

unsafe extern "C" fn key_event_callback(ctx: Ctx, _: c_int, event: *const c_char, key: Str) -> c_int {
    guarded((), || {
        let Some(Server { api, callbacks }) = SERVER.get() else { return };
        let mut len = 0;
        // SAFETY: the key's name is a string of the server; `len` outlives the call.
        let bytes = unsafe { (api.string_bytes)(key, &raw mut len) };
        // SAFETY: the bytes stay in place for this call.
        let key = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) };
        // SAFETY: the event's name is a C string of the server.
        let event = unsafe { CStr::from_ptr(event) };
        (callbacks.key_event)(&Context::new(ctx), event.to_bytes(), key);
    });
    0
}

// ── Command declarations ────────────────────────────────────────────────────────────────────────────

/// Answers the question "which of your arguments are keys?" with one position.
pub(crate) fn key_at(ctx: &Context, position: usize) {
    if let Some(s) = SERVER.get() {
        let flags = raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_UPDATE;
        // SAFETY: the context of a key position request.
        unsafe { (s.api.key_at_pos)(ctx.ctx, position as c_int, flags as c_int) };
    }
}

/// The layout of the structs below, as the server's header defines it (there as a static of each C file,
/// which cannot be linked to).
static INFO_VERSION: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

/// Declares a command that has been created.
///
/// # Errors
/// A sentence for the log.
pub(crate) fn declare(ctx: &Context, declaration: &Declaration) -> Result<(), String> {
    let refused = || format!("this server refuses the declaration of {}", declaration.name.to_string_lossy());
    let Server { api, .. } = SERVER.get().ok_or_else(refused)?;
    // SAFETY: `ctx` is the context of the load function, the name is a C string.
    let command = unsafe { (api.get_command)(ctx.ctx, declaration.name.as_ptr()) };
    if command.is_null() {
        return Err(refused());
    }
    let (flags, last) = match declaration.keys {
        Keys::None => (0, 0),
        Keys::One => (raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS, 0),
        // Options may follow the tenants: the server must ask which arguments are keys.
        Keys::Many => (
            raw::REDISMODULE_CMD_KEY_RW
                | raw::REDISMODULE_CMD_KEY_UPDATE
                | raw::REDISMODULE_CMD_KEY_VARIABLE_FLAGS
                | raw::REDISMODULE_CMD_KEY_INCOMPLETE,
            -1,
        ),
    };
    // SAFETY: all-zero is the end mark of each of these lists, and a valid value of its C struct.
    let mut keys: [raw::RedisModuleCommandKeySpec; 2] = unsafe { std::mem::zeroed() };
    if flags != 0 {
        keys[0].notes = declaration.key_notes.as_ptr();
        keys[0].flags = u64::from(flags);
        keys[0].begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
        keys[0].bs.index.pos = 1;
        keys[0].find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
        keys[0].fk.range.lastkey = last;
        keys[0].fk.range.keystep = 1;
    }
    let mut nested = Vec::new();
    let mut args = arguments(declaration.args, &mut nested);
    let info = raw::RedisModuleCommandInfo {
        version: &raw const INFO_VERSION,
        summary: declaration.summary.as_ptr(),
        complexity: declaration.complexity.as_ptr(),
        since: declaration.since.as_ptr(),
        history: null_mut(),
        tips: if declaration.tips.is_empty() { null() } else { declaration.tips.as_ptr() },
        arity: declaration.arity,
        key_specs: keys.as_mut_ptr(),
        args: args.as_mut_ptr(),
    };
    // SAFETY: every pointer in `info` is valid for the call, and the server copies all of it.
    if unsafe { (api.set_command_info)(command, &raw const info) } == 0 { Ok(()) } else { Err(refused()) }
}

/// The server's form of `args`, ended by a zeroed one. The lists of sub-arguments are kept in `nested`.
fn arguments(
    args: &[Arg],
    nested: &mut Vec<Vec<raw::RedisModuleCommandArg>>,
) -> Vec<raw::RedisModuleCommandArg> {
    let mut list = Vec::with_capacity(args.len() + 1);
    for arg in args {
        // SAFETY: all-zero is a valid value of this C struct: no token, no flags.
        let mut one: raw::RedisModuleCommandArg = unsafe { std::mem::zeroed() };
        one.name = arg.name.as_ptr();
        one.type_ = arg.kind.code();
        one.key_spec_index = if arg.is_key { 0 } else { -1 };
        one.token = arg.token.map_or(null(), CStr::as_ptr);
        one.summary = arg.summary.as_ptr();
        one.flags = (if arg.optional { raw::REDISMODULE_CMD_ARG_OPTIONAL } else { 0 }
            | if arg.multiple { raw::REDISMODULE_CMD_ARG_MULTIPLE } else { 0 }) as c_int;
        if !arg.choices.is_empty() {
            let mut choices = arguments(arg.choices, nested);
            one.subargs = choices.as_mut_ptr();
            // A moved Vec keeps its memory where it is.
            nested.push(choices);
        }
        list.push(one);
    }
    // SAFETY: all-zero is the end mark of the list.
    list.push(unsafe { std::mem::zeroed() });
    list
}
