/* The least a module can do for hello: the benchmark's lower bound. Built by `apxs -c`. */
#include "httpd.h"

#include "http_config.h"
#include "http_protocol.h"

static int answer(request_rec *request)
{
    if (!request->handler || strcmp(request->handler, "bound"))
        return DECLINED;
    ap_set_content_type(request, "text/plain");
    ap_set_content_length(request, 12);
    ap_rwrite("Hello World!", 12, request);
    return OK;
}

static void hooks(apr_pool_t *pool)
{
    ap_hook_handler(answer, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA bound_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, hooks
};
