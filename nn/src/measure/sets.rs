//! Which parameters to measure: named sets, or every combination of sizes.

use ckks::{PRESETS, Params, ParamsSpec, RingKind};

use crate::error::{Error, Result};

/// The sets on which libraries are compared.
const SETS: [&str; 4] = ["p13", "p14", "p15", "p16"];

/// Special primes are as wide as the word allows, as in the named sets: the fewer, the better.
const SPECIAL_BITS: u32 = 50;

/// Parameter sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sets {
    /// By their names.
    Named(Vec<String>),
    /// Every combination of lists of sizes.
    Sizes {
        /// log2 of the degree.
        log_n: Vec<u32>,
        /// Limbs of the chain, one a step.
        limbs: Vec<usize>,
        /// Bits of each.
        limb_bits: u32,
        /// Special primes.
        special: usize,
        /// Digits of key switching, at most; as few as the special primes allow if `None`.
        dnum: Option<usize>,
    },
}

impl Sets {
    /// Their parameters, in `ring`; `insecure` lets in those below 128 bits of security.
    ///
    /// # Errors
    /// [`Error::UnknownSet`], [`Error::NoSuchSet`].
    pub fn build(&self, ring: RingKind, insecure: bool) -> Result<Vec<Params>> {
        self.specs(ring)?.iter().map(|spec| build(spec, insecure)).collect()
    }

    fn specs(&self, ring: RingKind) -> Result<Vec<ParamsSpec>> {
        match self {
            Self::Named(names) => names.iter().map(|name| named(name, ring)).collect(),
            Self::Sizes { log_n, limbs, limb_bits, special, dnum } => {
                let spec = |log_n: u32, limbs: usize| {
                    let spec = ParamsSpec::new(ring, log_n, &vec![*limb_bits; limbs], &vec![SPECIAL_BITS; *special]);
                    ParamsSpec { dnum: dnum.unwrap_or(spec.dnum), ..spec }
                };
                Ok(log_n.iter().flat_map(|&log_n| limbs.iter().map(move |&limbs| spec(log_n, limbs))).collect())
            }
        }
    }
}

fn named(name: &str, ring: RingKind) -> Result<ParamsSpec> {
    let found = PRESETS.into_iter().find(|preset| preset.name == name && SETS.contains(&name));
    let preset = found.ok_or_else(|| Error::UnknownSet { name: name.into(), known: SETS.join(", ") })?;
    Ok(preset.spec(ring))
}

fn build(spec: &ParamsSpec, insecure: bool) -> Result<Params> {
    let built = if insecure { spec.build_insecure() } else { spec.build() };
    built.map_err(|reason| Error::NoSuchSet {
        log_n: spec.log_n,
        limbs: spec.chain.iter().map(Vec::len).sum(),
        advice: match reason {
            ckks::Error::Insecure { .. } => "; --insecure measures them all the same",
            _ => "",
        },
        reason,
    })
}
