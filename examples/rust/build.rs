//! Generates the code of the protos from their descriptors, so that no `protoc` is needed.

use prost::Message as _;

const DESCRIPTORS: &str = "protos/cost_insights.binpb";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={DESCRIPTORS}");
    let descriptors = prost_types::FileDescriptorSet::decode(&*std::fs::read(DESCRIPTORS)?)?;
    tonic_prost_build::configure()
        .build_server(false)
        // The code of these is in tonic-types, and the options of google.api are of no use here.
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    Ok(())
}
