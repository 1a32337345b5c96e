//! Plans of small networks.

use super::*;
