//! Bucket brigades: the request body coming in, the response going out.
//!
//! A request's own thread only: buckets belong to its connection's allocator.

use std::ffi::c_char;
use std::os::fd::{IntoRawFd, OwnedFd};

use crate::ffi;
use crate::httpd::field;
use crate::httpd::log::AprError;
use crate::httpd::request::Request;

/// A brigade of a request's connection; destroyed when dropped.
#[derive(Debug)]
pub struct Brigade<'r> {
    raw: *mut ffi::apr_bucket_brigade,
    request: Request<'r>,
}

/// Whether a read may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until something comes or Timeout is over.
    Yes,
    /// Only what is there already.
    No,
}

impl<'r> Brigade<'r> {
    /// An empty brigade for this request.
    pub fn new(request: Request<'r>) -> Self {
        let pool = request.pool().as_ptr();
        let allocator = field!(field!(request.as_ptr(), connection), bucket_alloc);
        // SAFETY: pool and allocator live as long as the request, and this thread uses them.
        let raw = unsafe { ffi::apr_brigade_create(pool, allocator) };
        Brigade { raw, request }
    }

    fn allocator(&self) -> *mut ffi::apr_bucket_alloc_t {
        field!(self.raw, bucket_alloc)
    }

    /// Drops what is in it.
    pub fn clear(&mut self) {
        // SAFETY: the brigade is alive.
        unsafe { ffi::apr_brigade_cleanup(self.raw.cast()) };
    }

    fn append(&mut self, bucket: *mut ffi::apr_bucket) {
        // SAFETY: a fresh bucket of this brigade's allocator, in no other brigade.
        unsafe { ffi::wsgi_brigade_append(self.raw, bucket) }
    }

    /// Appends a copy of `data`.
    pub fn append_copy(&mut self, data: &[u8]) {
        let allocator = self.allocator();
        // SAFETY: without a free function the bucket copies the bytes at once.
        let bucket = unsafe {
            ffi::apr_bucket_heap_create(data.as_ptr().cast(), data.len(), None, allocator)
        };
        self.append(bucket);
    }

    /// Appends `data` without copying it.
    ///
    /// # Safety
    /// `data` must stay as it is until the brigade was passed on or dropped: filters that keep a
    /// transient bucket beyond their call copy it (`apr_buckets.h`).
    pub unsafe fn append_borrowed(&mut self, data: &[u8]) {
        let allocator = self.allocator();
        // SAFETY: the caller keeps the bytes until the brigade is passed on.
        let bucket = unsafe {
            ffi::apr_bucket_transient_create(data.as_ptr().cast(), data.len(), allocator)
        };
        self.append(bucket);
    }

    /// Appends `length` bytes of `file` from `offset`, for the kernel to send with `sendfile`; the
    /// request's pool closes the descriptor.
    pub fn append_file(
        &mut self,
        file: OwnedFd,
        offset: u64,
        length: u64,
        sendfile: bool,
    ) -> Result<(), AprError> {
        let pool = self.request.pool().as_ptr();
        let offset = ffi::apr_off_t::try_from(offset).unwrap_or(ffi::apr_off_t::MAX);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let allocator = self.allocator();
        let mut descriptor = file.into_raw_fd();
        let mut handle = std::ptr::null_mut();
        let flags = if sendfile {
            ffi::APR_FOPEN_READ | ffi::APR_FOPEN_SENDFILE_ENABLED
        } else {
            ffi::APR_FOPEN_READ
        };
        // SAFETY: the pool is alive; the descriptor is ours and becomes the handle's.
        let status = unsafe { ffi::apr_os_file_put(&mut handle, &mut descriptor, flags, pool) };
        AprError::check(status)?;
        close_with_pool(self.request, descriptor);
        // SAFETY: handle, pool and allocator live as long as the request.
        let bucket =
            unsafe { ffi::apr_bucket_file_create(handle, offset, length, pool, allocator) };
        // A mapped file that is cut short meanwhile would end this process with SIGBUS.
        // SAFETY: the bucket was just made as a file bucket.
        AprError::check(unsafe { ffi::apr_bucket_file_enable_mmap(bucket, 0) })?;
        self.append(bucket);
        Ok(())
    }

    /// Appends a flush: what is before it goes to the client without delay.
    pub fn append_flush(&mut self) {
        // SAFETY: the allocator is the brigade's.
        let bucket = unsafe { ffi::apr_bucket_flush_create(self.allocator()) };
        self.append(bucket);
    }

    /// Appends the end of the response.
    pub fn append_end(&mut self) {
        // SAFETY: the allocator is the brigade's.
        let bucket = unsafe { ffi::apr_bucket_eos_create(self.allocator()) };
        self.append(bucket);
    }

    /// Appends an error, by which the HTTP filters know that the response is not whole: the last
    /// chunk is withheld, an HTTP/2 stream is reset.
    pub fn append_error(&mut self, status: u16) {
        let pool = self.request.pool().as_ptr();
        let allocator = self.allocator();
        let none: *const c_char = std::ptr::null();
        // SAFETY: pool and allocator live as long as the request.
        let bucket =
            unsafe { ffi::ap_bucket_error_create(i32::from(status), none, pool, allocator) };
        self.append(bucket);
    }

    /// Passes everything to the request's output filters and leaves the brigade empty.
    pub fn pass(&mut self) -> Result<(), AprError> {
        let filters = field!(self.request.as_ptr(), output_filters);
        // SAFETY: filters and brigade are the request's, on its thread.
        let status = unsafe { ffi::ap_pass_brigade(filters, self.raw) };
        self.clear();
        AprError::check(status)
    }

    /// Reads at most `bytes` of the request's body.
    pub fn read_body(&mut self, bytes: u64, wait: Wait) -> Result<(), AprError> {
        let filters = field!(self.request.as_ptr(), input_filters);
        let bytes = ffi::apr_off_t::try_from(bytes).unwrap_or(ffi::apr_off_t::MAX);
        let block = match wait {
            Wait::Yes => ffi::apr_read_type_e_APR_BLOCK_READ,
            Wait::No => ffi::apr_read_type_e_APR_NONBLOCK_READ,
        };
        let mode = ffi::ap_input_mode_t_AP_MODE_READBYTES;
        // SAFETY: filters and brigade are the request's, on its thread.
        let status = unsafe { ffi::ap_get_brigade(filters, self.raw, mode, block, bytes) };
        AprError::check(status)
    }

    /// Gives each piece of data to `each`, in order; answers whether the end of the body was seen.
    pub fn for_each_data(&mut self, mut each: impl FnMut(&[u8])) -> Result<bool, AprError> {
        // SAFETY: the brigade is alive.
        let sentinel = unsafe { ffi::wsgi_brigade_sentinel(self.raw) };
        // SAFETY: as above.
        let mut bucket = unsafe { ffi::wsgi_brigade_first(self.raw) };
        while bucket != sentinel {
            // SAFETY: a bucket of this brigade.
            if unsafe { ffi::wsgi_bucket_is_eos(bucket) } != 0 {
                return Ok(true);
            }
            // SAFETY: as above.
            if unsafe { ffi::wsgi_bucket_is_metadata(bucket) } == 0 {
                each(bucket_data(bucket)?);
            }
            // SAFETY: as above; reading may have split the bucket, so its successor is asked now.
            bucket = unsafe { ffi::wsgi_bucket_next(bucket) };
        }
        Ok(false)
    }

    /// The first `length` bytes of the data before the end of the body, all of which was looked at
    /// before, as it lies there.
    pub fn pieces(&self, length: usize) -> Result<Vec<&[u8]>, AprError> {
        let mut left = length;
        let mut pieces = Vec::new();
        // SAFETY: the brigade is alive.
        let sentinel = unsafe { ffi::wsgi_brigade_sentinel(self.raw) };
        // SAFETY: as above.
        let mut bucket = unsafe { ffi::wsgi_brigade_first(self.raw) };
        while bucket != sentinel && left > 0 {
            // SAFETY: a bucket of this brigade.
            if unsafe { ffi::wsgi_bucket_is_metadata(bucket) } == 0 {
                let data = bucket_data(bucket)?;
                let piece = &data[..data.len().min(left)];
                left -= piece.len();
                if !piece.is_empty() {
                    pieces.push(piece);
                }
            }
            // SAFETY: as above.
            bucket = unsafe { ffi::wsgi_bucket_next(bucket) };
        }
        Ok(pieces)
    }
}

impl Drop for Brigade<'_> {
    fn drop(&mut self) {
        // SAFETY: the brigade is alive and nobody else's.
        unsafe { ffi::apr_brigade_destroy(self.raw) };
    }
}

/// A bucket's bytes, which stay as long as the bucket does.
fn bucket_data<'b>(bucket: *mut ffi::apr_bucket) -> Result<&'b [u8], AprError> {
    let mut data = std::ptr::null();
    let mut length = 0;
    let block = ffi::apr_read_type_e_APR_BLOCK_READ;
    // SAFETY: a data bucket of a brigade that is alive; both results are writable.
    let status = unsafe { ffi::wsgi_bucket_read(bucket, &mut data, &mut length, block) };
    AprError::check(status)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: APR vouches for `length` bytes until the bucket is destroyed.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), length) })
}

/// Closes the descriptor when the request ends: apr_os_file_put registers no cleanup of its own.
fn close_with_pool(request: Request<'_>, descriptor: i32) {
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptor was taken out of an OwnedFd by the caller and is owned by nobody.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    request.pool().place(owned);
}

/// The HTTP status for a failure to read the body, as httpd maps it.
pub fn body_error_status(error: AprError) -> u16 {
    // SAFETY: a pure function of its arguments.
    let status = unsafe { ffi::ap_map_http_request_error(error.0, 400) };
    u16::try_from(status).unwrap_or(400)
}
