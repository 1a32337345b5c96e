//! Parts of the operations of the scheme. (`rescale`, a base conversion of two polynomials, is an operation itself.)

mod clock;
mod sets;

use bench::Setting;
use ckks::{KeyGenerator, KeyRequest};
use clock::{Result, criterion};
use sets::{of_params, sets};

fn main() -> Result<()> {
    let mut criterion = criterion()?;
    for params in sets()? {
        let mut setting = Setting::new(&params)?;
        let request = KeyRequest::default().rotation(&params, 1, params.max_level());
        let keys = KeyGenerator::new(&params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
        bench::ring(&mut of_params(&mut criterion, &params), &mut setting, &keys)?;
    }
    criterion.final_summary();
    Ok(())
}
