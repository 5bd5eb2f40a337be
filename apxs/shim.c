/* One C function for each macro or variadic function of httpd that the module needs: see shim.h.
 * Runs wherever its caller does. No logic belongs here. */
#include "wrapper.h"

APLOG_USE_MODULE(wsgi);

/* As mod_ssl.h declares them, which not every installation of httpd's headers has. */
APR_DECLARE_OPTIONAL_FN(int, ssl_is_https, (conn_rec *));
APR_DECLARE_OPTIONAL_FN(char *, ssl_var_lookup,
                        (apr_pool_t *, server_rec *, conn_rec *, request_rec *, char *));

void wsgi_brigade_append(apr_bucket_brigade *brigade, apr_bucket *bucket)
{
    APR_BRIGADE_INSERT_TAIL(brigade, bucket);
}

apr_bucket *wsgi_brigade_first(apr_bucket_brigade *brigade)
{
    return APR_BRIGADE_FIRST(brigade);
}

apr_bucket *wsgi_brigade_sentinel(apr_bucket_brigade *brigade)
{
    return APR_BRIGADE_SENTINEL(brigade);
}

void wsgi_bucket_delete(apr_bucket *bucket)
{
    apr_bucket_delete(bucket);
}

int wsgi_bucket_is_eos(const apr_bucket *bucket)
{
    return APR_BUCKET_IS_EOS(bucket);
}

int wsgi_bucket_is_metadata(const apr_bucket *bucket)
{
    return APR_BUCKET_IS_METADATA(bucket);
}

apr_bucket *wsgi_bucket_next(const apr_bucket *bucket)
{
    return APR_BUCKET_NEXT(bucket);
}

apr_status_t wsgi_bucket_read(apr_bucket *bucket, const char **data, apr_size_t *length,
                              apr_read_type_e block)
{
    return apr_bucket_read(bucket, data, length, block);
}

void wsgi_cache_login(request_rec *r, const char *user, const char *realm, const char *hash)
{
    APR_OPTIONAL_FN_TYPE(ap_authn_cache_store) *store =
        APR_RETRIEVE_OPTIONAL_FN(ap_authn_cache_store);
    if (store != NULL)
        store(r, "wsgi", user, realm, hash);
}

int wsgi_caches_logins(void)
{
    return APR_RETRIEVE_OPTIONAL_FN(ap_authn_cache_store) != NULL;
}

int wsgi_connection_is_tls(conn_rec *c)
{
    APR_OPTIONAL_FN_TYPE(ssl_is_https) *is_https = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
    return is_https != NULL && is_https(c);
}

void wsgi_log_request(const request_rec *r, int level, apr_status_t status, const char *text)
{
    ap_log_rerror(APLOG_MARK, level, status, r, "%s", text);
}

void wsgi_log_server(const server_rec *s, int level, apr_status_t status, const char *text)
{
    ap_log_error(APLOG_MARK, level, status, s, "%s", text);
}

int wsgi_request_logs(const request_rec *r, int level)
{
    return APLOG_R_IS_LEVEL(r, level);
}

int wsgi_server_logs(const server_rec *s, int level)
{
    return APLOG_IS_LEVEL(s, level);
}

int wsgi_status_is_again(apr_status_t status)
{
    return APR_STATUS_IS_EAGAIN(status);
}

const char *wsgi_tls_variable(request_rec *r, const char *name)
{
    APR_OPTIONAL_FN_TYPE(ssl_var_lookup) *lookup = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
    return lookup == NULL ? NULL : lookup(r->pool, r->server, r->connection, r, (char *)name);
}
