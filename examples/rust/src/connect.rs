//! The connection that the environment describes:
//!
//! - `COST_INSIGHTS_GRPC_ADDRESS`: `HOST:PORT`; `127.0.0.1:50051` unless set
//! - `COST_INSIGHTS_TOKEN`: the access token, if the service wants one
//! - `COST_INSIGHTS_TLS`: `true` for TLS with the authorities of the system
//! - `COST_INSIGHTS_CA`: a file of authorities, for TLS with these

use std::env;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::Failure;

pub type Connection = InterceptedService<Channel, AccessToken>;

/// Sends the access token with each call.
#[derive(Clone)]
pub struct AccessToken(Option<MetadataValue<Ascii>>);

impl Interceptor for AccessToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// The connection is made when it is first used, and made again after it broke.
pub fn connect() -> Result<Connection, Failure> {
    let address = setting("COST_INSIGHTS_GRPC_ADDRESS").unwrap_or("127.0.0.1:50051".to_owned());
    let tls = match setting("COST_INSIGHTS_CA") {
        Some(file) => {
            let authorities = Certificate::from_pem(std::fs::read(file)?);
            Some(ClientTlsConfig::new().ca_certificate(authorities))
        }
        None if setting("COST_INSIGHTS_TLS").as_deref() == Some("true") => {
            Some(ClientTlsConfig::new().with_native_roots())
        }
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?;
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls)?;
    }
    let token = setting("COST_INSIGHTS_TOKEN")
        .map(|token| format!("Bearer {token}").parse())
        .transpose()?;
    Ok(InterceptedService::new(
        endpoint.connect_lazy(),
        AccessToken(token),
    ))
}

fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
