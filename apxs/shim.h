/* C functions for what httpd offers as a macro or with variable arguments, sorted by name.
 * Each is one call and holds no logic; shim.c defines them. */
#ifndef MOD_WSGI_RS_SHIM_H
#define MOD_WSGI_RS_SHIM_H

#include <httpd.h>
#include <http_log.h>
#include <apr_buckets.h>

void wsgi_brigade_append(apr_bucket_brigade *brigade, apr_bucket *bucket);
apr_bucket *wsgi_brigade_first(apr_bucket_brigade *brigade);
apr_bucket *wsgi_brigade_sentinel(apr_bucket_brigade *brigade);
void wsgi_bucket_delete(apr_bucket *bucket);
int wsgi_bucket_is_eos(const apr_bucket *bucket);
int wsgi_bucket_is_metadata(const apr_bucket *bucket);
apr_bucket *wsgi_bucket_next(const apr_bucket *bucket);
apr_status_t wsgi_bucket_read(apr_bucket *bucket, const char **data, apr_size_t *length,
                              apr_read_type_e block);
void wsgi_cache_login(request_rec *r, const char *user, const char *realm, const char *hash);
int wsgi_caches_logins(void);
int wsgi_connection_is_tls(conn_rec *c);
void wsgi_log_request(const request_rec *r, int level, apr_status_t status, const char *text);
void wsgi_log_server(const server_rec *s, int level, apr_status_t status, const char *text);
int wsgi_request_logs(const request_rec *r, int level);
int wsgi_server_logs(const server_rec *s, int level);
int wsgi_status_is_again(apr_status_t status);
const char *wsgi_tls_variable(request_rec *r, const char *name);

#endif
