//! The operations of the scheme at full level: the cases of `slotwise bench`.

mod clock;
mod sets;

use bench::Setting;
use clock::{Result, criterion};
use sets::{of_params, sets};

fn main() -> Result<()> {
    let mut criterion = criterion()?;
    for params in sets()? {
        bench::scheme(&mut of_params(&mut criterion, &params), &mut Setting::new(&params)?)?;
    }
    criterion.final_summary();
    Ok(())
}
