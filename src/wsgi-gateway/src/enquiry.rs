//! `mod_ssl.is_https()` and `mod_ssl.var_lookup(name)` of a function's environ: what mod_ssl knows of
//! the client's connection before others have set variables.
//!
//! Called by functions with the GIL held. A lookup asks the Apache child, with the GIL released.

use std::sync::Arc;

use wsgi_wire::frame::MAX_NAME;
use wsgi_wire::head::flag;

use crate::call::Call;
use crate::python::{
    Arguments, Exception, Methods, Object, Owned, Python, Raised, Receiver, Slots, keywords_method,
    new_function, new_instance, new_type, python_method,
};
use crate::wsgi::Request;

/// The value inside the object that both functions are bound to.
struct Enquiry {
    call: Arc<Call>,
    is_https: bool,
}

static IS_HTTPS: Methods<1> = Methods([keywords_method(
    c"is_https",
    is_https,
    c"Whether the client's connection is encrypted.",
)]);

static VAR_LOOKUP: Methods<1> = Methods([keywords_method(
    c"var_lookup",
    var_lookup,
    c"The value of a variable of mod_ssl, None without mod_ssl.",
)]);

/// Makes the type for the attached interpreter.
pub fn make_type(python: Python<'_>) -> Result<Owned<'_>, Raised> {
    let doc = c"What mod_ssl knows of a request's connection.";
    new_type::<Enquiry>(python, c"mod_wsgi.Enquiry", doc, Slots::default())
}

/// Puts both functions into a function's environ.
pub fn add(
    python: Python<'_>,
    request: &Request<'_>,
    call: &Arc<Call>,
    environ: &Owned<'_>,
) -> Result<(), Raised> {
    let enquiry = Enquiry {
        call: Arc::clone(call),
        is_https: request.head.flags & flag::HTTPS != 0,
    };
    let class = request.interpreter.objects.enquiry.object(python);
    let enquiry = new_instance(python, class, enquiry)?;
    for (key, definition) in [
        (&b"mod_ssl.is_https"[..], &IS_HTTPS.0[0]),
        (b"mod_ssl.var_lookup", &VAR_LOOKUP.0[0]),
    ] {
        let function = new_function(python, definition, Some(&enquiry))?;
        environ.set_dict_item(&*Owned::interned(python, key)?, &function)?;
    }
    Ok(())
}

python_method!(is_https, Enquiry, told);
python_method!(var_lookup, Enquiry, looked_up);

fn told<'p>(
    python: Python<'p>,
    receiver: Receiver<'p, Enquiry>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let [] = arguments.bind("is_https", [])?;
    Owned::bool(python, receiver.value.is_https)
}

fn looked_up<'p>(
    python: Python<'p>,
    receiver: Receiver<'p, Enquiry>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let [name] = arguments.bind("var_lookup", ["name"])?;
    let name = name_of(python, name)?;
    let call = &receiver.value.call;
    match python.detached(|| call.variable(&name)) {
        Ok(Some(value)) => Owned::latin1(python, &value),
        Ok(None) => Ok(Owned::none(python)),
        Err(_) => Err(Exception::Runtime.raise(python, "the request has ended")),
    }
}

fn name_of(python: Python<'_>, name: Option<&Object>) -> Result<Vec<u8>, Raised> {
    let Some(name) = name.filter(|name| name.is_str()) else {
        return Err(Exception::Type.raise(python, "var_lookup() takes the name as a str"));
    };
    let name = name.latin1()?.bytes().to_vec();
    if name.len() > MAX_NAME as usize {
        return Err(Exception::Value.raise(python, "the name is too long"));
    }
    Ok(name)
}
