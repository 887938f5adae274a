//! Terms to build rules with; what they are makes no difference to what is checked.

use greylatch_core::{Due, Greylist, Seconds, Timing, WindowFrom};

pub(crate) fn terms() -> Greylist {
    Greylist {
        timing: Timing {
            delay: Seconds(60),
            retry_window: Seconds(172_800),
            lifetime: Seconds(3_024_000),
            due: Due::FromFirst,
            window_from: WindowFrom::First,
        },
        exemption: None,
        waiting_max: None,
        network_suffices: false,
    }
}
