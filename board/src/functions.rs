//! Functions that an expression over one row cannot call, by their names. What is not known here, the database is
//! asked for: it knows of each function whether it is volatile.

/// Why a function is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It looks at many rows.
    Aggregate,
    /// It looks at the rows beside this one.
    Window,
    /// It makes rows.
    Rows,
    /// It goes by the clock.
    Time,
    /// It goes by who asks, or by a setting.
    Session,
    /// It gives another result each time, or does something.
    Volatile,
}

const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "grouping",
    "json_agg",
    "json_agg_strict",
    "json_arrayagg",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_objectagg",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];
const WINDOWS: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];
const ROWS: &[&str] = &[
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_table",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "unnest",
    "xmltable",
];
const TIME: &[&str] = &[
    "clock_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "now",
    "pg_conf_load_time",
    "pg_postmaster_start_time",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
];
const SESSION: &[&str] = &[
    "current_catalog",
    "current_database",
    "current_query",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "has_table_privilege",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "pg_backend_pid",
    "pg_has_role",
    "session_user",
    "system_user",
    "user",
    "version",
];
const VOLATILE: &[&str] = &[
    "currval",
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "dblink_exec",
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "lastval",
    "lo_export",
    "lo_get",
    "lo_import",
    "lo_put",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_xact_lock",
    "pg_cancel_backend",
    "pg_current_snapshot",
    "pg_current_wal_lsn",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_ls_dir",
    "pg_notify",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "pg_try_advisory_xact_lock",
    "query_to_xml",
    "random",
    "random_normal",
    "schema_to_xml",
    "set_config",
    "setseed",
    "setval",
    "table_to_xml",
    "txid_current",
    "txid_current_if_assigned",
    "txid_current_snapshot",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
];

/// Whether a function of this name, in lower case, is refused, and why.
pub(crate) fn refused(name: &str) -> Option<Refused> {
    [
        (AGGREGATES, Refused::Aggregate),
        (WINDOWS, Refused::Window),
        (ROWS, Refused::Rows),
        (TIME, Refused::Time),
        (SESSION, Refused::Session),
        (VOLATILE, Refused::Volatile),
    ]
    .into_iter()
    .find(|(names, _)| names.contains(&name))
    .map(|(_, why)| why)
}

/// What Postgres keeps for itself about each row. It changes without the row.
pub(crate) const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// The word by which Postgres takes a text for the time of reading it, should it make a date of it: `today`, `10:00 today`,
/// `[now,)`. A text with other words in it is no date.
pub(crate) fn word_of_time(text: &str) -> Option<&'static str> {
    const TIMES: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];
    const BESIDE: [&str; 8] = ["allballs", "am", "gmt", "infinity", "pm", "utc", "z", "zulu"];
    let mut found = None;
    for word in
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.starts_with(char::is_alphabetic))
    {
        let word = word.to_lowercase();
        match TIMES.into_iter().find(|time| *time == word) {
            Some(time) => found = Some(time),
            None if BESIDE.contains(&word.as_str()) => {}
            None => return None,
        }
    }
    found
}
