//! `slotwise bench`: the primitives of CKKS, timed.

use anyhow::Result;

use nn::engine::Progress;
use nn::measure::{OPS, Sets, measure};

use super::args::BenchArgs;
use super::progress::Bars;
use super::run::{distinct_places, print, write_json};

/// Times what was asked for, prints the report and writes it.
pub fn bench(args: &BenchArgs) -> Result<()> {
    distinct_places([], [args.json.as_ref()])?;
    let params = sets(args).build(args.ring.into(), args.insecure)?;
    let bars = Bars::new();
    bars.begin("measuring", params.len() * args.threads.len() * OPS.len());
    let report = measure(&params, &args.threads, args.insecure, &mut || bars.step())?;
    drop(bars);

    // Written whatever becomes of the table.
    let json = args.json.as_ref().map_or(Ok(()), |path| write_json(path, &report));
    let table = print(&report);
    json?;
    table
}

/// The parameter sets that were asked for.
fn sets(args: &BenchArgs) -> Sets {
    match (args.limb_bits, args.special) {
        (Some(limb_bits), Some(special)) => {
            Sets::Sizes { log_n: args.log_n.clone(), limbs: args.limbs.clone(), limb_bits, special, dnum: args.dnum }
        }
        _ => Sets::Named(args.set.clone()),
    }
}
