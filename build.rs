//! Asks apxs and APR for their flags, generates the bindings of httpd's headers, compiles the shim.
//!
//! Runs on the machine that builds. `APXS` and `APR_CONFIG` override the tools; a missing one ends
//! the build with the name of its package.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// What the module uses of httpd and APR, as regular expressions: nothing else is generated.
const FUNCTIONS: &[&str] = &[
    "wsgi_.*",
    "ap_add_version_component",
    "ap_allow_options",
    "ap_bucket_error_create",
    "ap_check_cmd_context",
    "ap_context_document_root",
    "ap_context_prefix",
    "ap_discard_request_body",
    "ap_document_root",
    "ap_escape_html2",
    "ap_expr_parse_cmd_mi",
    "ap_expr_str_exec",
    "ap_get_brigade",
    "ap_get_conn_socket",
    "ap_get_limit_req_body",
    "ap_get_module_config",
    "ap_copy_scoreboard_worker",
    "ap_get_scoreboard_(global|process)",
    "ap_get_server_banner",
    "ap_get_server_built",
    "ap_get_server_description",
    "ap_get_server_module_loglevel",
    "ap_get_server_name_for_url",
    "ap_get_server_port",
    "ap_get_server_revision",
    "ap_get_useragent_host",
    "ap_hook_(check_access|check_config|child_init|handler|post_config|translate_name)",
    "ap_internal_redirect_handler",
    "ap_map_http_request_error",
    "ap_mpm_query",
    "ap_pass_brigade",
    "ap_pregcomp",
    "ap_pregsub",
    "ap_regexec",
    "ap_psignature",
    "ap_register_auth_provider",
    "ap_run_(generate_log_id|http_scheme)",
    "ap_remove_output_filter_byhandle",
    "ap_runtime_dir_relative",
    "ap_send_interim_response",
    "ap_server_root_relative",
    "ap_show_mpm",
    "ap_set_content_length",
    "ap_set_module_config",
    "ap_set_content_type",
    "ap_state_query",
    "ap_walk_config",
    "apr_brigade_(cleanup|create|destroy)",
    "apr_bucket_(eos|file|flush|heap|transient)_create",
    "apr_bucket_file_enable_mmap",
    "apr_date_parse_http",
    "apr_generate_random_bytes",
    "apr_hash_get",
    "apr_md5_encode",
    "apr_os_file_(get|put)",
    "apr_palloc",
    "apr_pool_cleanup_(kill|null|register)",
    "apr_pool_userdata_(get|set)",
    "apr_proc_other_child_(register|unregister)",
    "apr_pstrmemdup",
    "apr_rfc822_date",
    "apr_socket_timeout_(get|set)",
    "apr_stat",
    "apr_strerror",
    "apr_table_(addn|get|setn|unset)",
    "apr_time_now",
];
const TYPES: &[&str] = &[
    "module",
    "command_rec",
    "cmd_func",
    "cmd_parms",
    "request_rec",
    "conn_rec",
    "server_rec",
    "process_rec",
    "global_score",
    "process_score",
    "worker_score",
    "core_dir_config",
    "ap_directive_t",
    "ap_filter_t",
    "ap_filter_type",
    "ap_regex_t",
    "ap_regmatch_t",
    "apr_bucket",
    "apr_bucket_brigade",
    "apr_file_t",
    "apr_pool_t",
    "apr_proc_t",
    "authn_provider",
    "authz_provider",
    "apr_status_t",
    "apr_table_t",
    "apr_table_entry_t",
    "unixd_config_rec",
];
const VARIABLES: &[&str] = &[
    "APR_FINFO_(MIN|MTIME)",
    "AP_EXPR_FLAG_STRING_RESULT",
    "AP_MODE_.*",
    "AP_MPMQ_.*",
    "AP_REQ_REJECT_PATH_INFO",
    "AP_SQ_.*",
    "ACCESS_CONF",
    "AP_AUTH_INTERNAL_(PER_CONF|PER_URI)",
    "AUTH[NZ]_PROVIDER_(GROUP|VERSION)",
    "APR_(BLOCK|NONBLOCK)_READ",
    "APR_HOOK_(REALLY_FIRST|FIRST|MIDDLE|LAST|REALLY_LAST)",
    "APR_OC_REASON_.*",
    "APR_(ECONNABORTED|ECONNRESET|EOF|INCOMPLETE|SUCCESS)",
    "AP_CGI_PASS_AUTH_ON",
    "AP_MAX_REG_MATCH",
    "APR_FOPEN_(READ|SENDFILE_ENABLED)",
    "DECLINED",
    "M_GET",
    "MODULE_MAGIC_(COOKIE|NUMBER_MAJOR|NUMBER_MINOR)",
    "NOT_IN_(HTACCESS|VIRTUALHOST)",
    "OK",
    "OPT_EXECCGI",
    "OR_(AUTHCFG|FILEINFO)",
    "REMOTE_HOST",
    "RSRC_CONF",
    "ap_conftree",
    "ap_server_conf",
    "ap_unixd_config",
    "core_module",
];

fn main() {
    for input in ["apxs/wrapper.h", "apxs/shim.h", "apxs/shim.c", "build.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    for variable in ["APXS", "APR_CONFIG"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let flags = c_flags();
    generate_bindings(&flags);
    compile_shim(&flags);
}

/// Preprocessor flags of httpd and APR.
fn c_flags() -> Vec<String> {
    let apxs = env::var("APXS").unwrap_or_else(|_| "apxs".into());
    let apr = env::var("APR_CONFIG").unwrap_or_else(|_| "apr-1-config".into());
    let apxs_package = "install apache2-dev (Debian) or httpd-devel (RHEL)";
    let apr_package = "install libapr1-dev (Debian) or apr-devel (RHEL)";
    let mut flags = vec![format!(
        "-I{}",
        ask(&apxs, &["-q", "INCLUDEDIR"], apxs_package)
    )];
    for arguments in [&["--cppflags"][..], &["--includes"]] {
        let answer = ask(&apr, arguments, apr_package);
        flags.extend(answer.split_whitespace().map(String::from));
    }
    let extra = ask(&apxs, &["-q", "EXTRA_CPPFLAGS"], apxs_package);
    flags.extend(extra.split_whitespace().map(String::from));
    flags
}

/// One tool's answer on standard output, trimmed.
fn ask(tool: &str, arguments: &[&str], package: &str) -> String {
    let output = Command::new(tool).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_string()
        }
        Ok(output) => fail(&format!(
            "{tool} {arguments:?} ended with {}",
            output.status
        )),
        Err(error) => fail(&format!("{tool} cannot be run ({error}): {package}")),
    }
}

fn generate_bindings(flags: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("apxs/wrapper.h")
        .clang_args(flags)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .wrap_unsafe_ops(true)
        .layout_tests(true);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VARIABLES {
        builder = builder.allowlist_var(name);
    }
    let target = out_dir().join("bindings.rs");
    let bindings = builder.generate().unwrap_or_else(|error| {
        let package = "install libclang-dev (Debian) or clang-devel (RHEL)";
        fail(&format!(
            "httpd's headers cannot be read ({error}): {package}"
        ))
    });
    if let Err(error) = bindings.write_to_file(&target) {
        fail(&format!("{} cannot be written: {error}", target.display()));
    }
}

fn compile_shim(flags: &[String]) {
    let mut build = cc::Build::new();
    build.file("apxs/shim.c").include("apxs").warnings(true);
    for flag in flags {
        build.flag(flag);
    }
    build.compile("wsgi_shim");
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"))
}

fn fail(sentence: &str) -> ! {
    println!("cargo::error={sentence}");
    std::process::exit(1);
}
