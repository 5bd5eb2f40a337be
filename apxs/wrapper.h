/* The only list of httpd and APR headers that mod_wsgi_rs includes.
 * build.rs hands this file to bindgen with an allow-list of names; shim.c includes it as well. */
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <ap_expr.h>
#include <ap_mpm.h>
#include <ap_regex.h>
#include <mod_auth.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <unixd.h>
#include <util_filter.h>
#include <apr_buckets.h>
#include <apr_general.h>
#include <apr_hash.h>
#include <apr_md5.h>
#include <apr_optional.h>
#include <apr_pools.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_tables.h>
#include <apr_thread_proc.h>
#include "shim.h"
