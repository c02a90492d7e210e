//! Requests and answers in JSON, of any RPC with one request and one answer.

use prost_reflect::bytes::Buf as _;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use crate::Failure;
use crate::connect::Connection;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/protos/cost_insights.binpb"
));

/// Sends the request in a file to a method, such as `SERVICE/METHOD`, and shows the answer.
pub async fn call(connection: Connection, method: &str, file: &str) -> Result<(), Failure> {
    let pool = DescriptorPool::decode(DESCRIPTORS)?;
    let described = find(&pool, method).ok_or_else(|| format!("there is no method {method}"))?;
    let text = std::fs::read_to_string(file)?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let request = DynamicMessage::deserialize(described.input(), &mut json)?;
    json.end()?;
    let mut client = Grpc::new(connection);
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = format!("/{method}").parse()?;
    let answer = client
        .unary(Request::new(request), path, Messages(described.output()))
        .await?;
    println!("{}", serde_json::to_string(answer.get_ref())?);
    Ok(())
}

fn find(pool: &DescriptorPool, method: &str) -> Option<MethodDescriptor> {
    let (service, name) = method.split_once('/')?;
    pool.get_service_by_name(service)?
        .methods()
        .find(|method| method.name() == name)
}

/// Encodes any message, and decodes those of one kind.
struct Messages(MessageDescriptor);

impl Codec for Messages {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Messages {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(
        &mut self,
        message: DynamicMessage,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        message
            .encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Messages {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        DynamicMessage::decode(self.0.clone(), bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
