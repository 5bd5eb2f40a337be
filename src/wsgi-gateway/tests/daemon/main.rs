//! The gateway as a daemon, driven by frames: a specification of what the monitor and Apache's
//! children may rely on, and of WSGI as an application meets it.
//!
//! Runs without Apache, with every supported Python that is found.

mod answering;
mod ending;
mod environ;
mod failing;
mod functions;
mod harness;
mod input;
mod load;
mod loading;
mod reasons;
mod response;
mod stuck;
mod succession;
mod zygote;

/// A script that calls the function named by the path, e.g. `/hello`.
fn script(functions: &str) -> String {
    format!(
        "def application(environ, start_response):\n    \
             return globals()[environ['PATH_INFO'][1:]](environ, start_response)\n\
         def hello(environ, start_response):\n    \
             start_response('200 OK', [('Content-Type', 'text/plain')])\n    \
             return [b'hello']\n\
         def wait_for_body(environ, start_response):\n    \
             body = environ['wsgi.input'].read()\n    \
             start_response('200 OK', [])\n    \
             return [body]\n\
         {functions}"
    )
}
