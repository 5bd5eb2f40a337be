//! The setters of the directives about metrics and telemetry.
//!
//! Runs where the command table does: in the parent's main thread while the configuration is read.

use wsgi_config::telemetry;

use super::{DirectiveError, Place};

/// WSGISlowRequests.
pub fn set_slow_requests(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    let slow = telemetry::slow_requests(place.directive, value)?;
    place.edit(|configuration| configuration.telemetry.slow = slow);
    Ok(())
}

/// WSGITelemetryService.
pub fn set_service(place: &mut Place<'_>, arguments: &[u8]) -> Result<(), DirectiveError> {
    let service = telemetry::service(place.directive, arguments)?;
    place.edit(|configuration| configuration.telemetry.service = Some(service));
    Ok(())
}

/// WSGITelemetryOptions.
pub fn set_options(place: &mut Place<'_>, arguments: &[u8]) -> Result<(), DirectiveError> {
    place.edit(|configuration| {
        let settings = &mut configuration.telemetry;
        settings.user_agents =
            telemetry::options(place.directive, arguments, settings.user_agents)?;
        Ok(())
    })
}

/// WSGIServerMetrics.
pub fn set_server_metrics(place: &mut Place<'_>, value: &[u8]) -> Result<(), DirectiveError> {
    let allowed = place.flag(value)?;
    place.edit(|configuration| configuration.server_metrics = allowed);
    Ok(())
}
