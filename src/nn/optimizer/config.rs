//! Hyperparameters, with PyTorch's names and defaults.

use crate::error::{Result, ensure, err};

/// Stochastic gradient descent (`torch.optim.SGD`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Learning rate.
    pub lr: f64,
    /// 0: none.
    pub momentum: f64,
    /// The gradient enters the momentum buffer times `1 - dampening`, except for the first one.
    pub dampening: f64,
    /// Added to the gradient times the parameter.
    pub weight_decay: f64,
    /// Nesterov's momentum; needs `momentum > 0` and `dampening == 0`.
    pub nesterov: bool,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { lr: 1e-3, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false }
    }
}

/// Adam (Kingma and Ba 2015; `torch.optim.Adam`) and AdamW (Loshchilov and Hutter 2019; `torch.optim.AdamW`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the running means of the gradient and of its square, each in `[0, 1)`.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Added to the gradient times the parameter (Adam), or taken off the parameter times `lr` (AdamW).
    pub weight_decay: f64,
    /// AdamW.
    pub decoupled_weight_decay: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, decoupled_weight_decay: false }
    }
}

impl AdamConfig {
    /// AdamW with its defaults.
    pub fn adamw() -> Self {
        Self { weight_decay: 1e-2, decoupled_weight_decay: true, ..Self::default() }
    }
}

/// RMSprop (Hinton 2012; `torch.optim.RMSprop`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropConfig {
    /// Learning rate.
    pub lr: f64,
    /// Decay rate of the running mean of squares, in `[0, 1]`.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Added to the gradient times the parameter.
    pub weight_decay: f64,
    /// 0: none.
    pub momentum: f64,
    /// Divide by the standard deviation instead of the root mean square (Graves 2013).
    pub centered: bool,
}

impl Default for RmsPropConfig {
    fn default() -> Self {
        Self { lr: 1e-2, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false }
    }
}

/// Which optimizer, and its hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd(SgdConfig),
    /// Adam or AdamW.
    Adam(AdamConfig),
    /// RMSprop.
    RmsProp(RmsPropConfig),
}

fn at_least_zero(name: &str, value: f64) -> Result<()> {
    // Updates run in f32, so a value that is infinite there is as bad as infinity.
    ensure!(
        value >= 0.0 && (value as f32).is_finite(),
        InvalidArgument,
        "{name} is {value}, expected a finite value >= 0"
    );
    Ok(())
}

impl OptimizerConfig {
    /// `sgd`, `adam`, `adamw` or `rmsprop`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(c) if c.decoupled_weight_decay => "adamw",
            Self::Adam(_) => "adam",
            Self::RmsProp(_) => "rmsprop",
        }
    }

    /// The optimizer of that name with its defaults.
    pub fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "sgd" => Self::Sgd(SgdConfig::default()),
            "adam" => Self::Adam(AdamConfig::default()),
            "adamw" => Self::Adam(AdamConfig::adamw()),
            "rmsprop" => Self::RmsProp(RmsPropConfig::default()),
            _ => {
                return Err(err!(
                    InvalidArgument,
                    "unknown optimizer '{}', expected sgd, adam, adamw or rmsprop",
                    crate::shown::Excerpt(name, 40)
                ));
            }
        })
    }

    /// The learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(c) => c.lr,
            Self::Adam(c) => c.lr,
            Self::RmsProp(c) => c.lr,
        }
    }

    pub(super) fn lr_mut(&mut self) -> &mut f64 {
        match self {
            Self::Sgd(c) => &mut c.lr,
            Self::Adam(c) => &mut c.lr,
            Self::RmsProp(c) => &mut c.lr,
        }
    }

    /// `InvalidArgument`, naming the field, for a value that the optimizer cannot work with.
    pub fn check(&self) -> Result<()> {
        at_least_zero("lr", self.lr())?;
        match self {
            Self::Sgd(c) => {
                at_least_zero("momentum", c.momentum)?;
                at_least_zero("weight_decay", c.weight_decay)?;
                ensure!(
                    (c.dampening as f32).is_finite(),
                    InvalidArgument,
                    "dampening is {}, expected a finite value",
                    c.dampening
                );
                ensure!(
                    !c.nesterov || (c.momentum > 0.0 && c.dampening == 0.0),
                    InvalidArgument,
                    "nesterov needs momentum > 0 and dampening 0, found {} and {}",
                    c.momentum,
                    c.dampening
                );
            }
            Self::Adam(c) => {
                for (i, beta) in c.betas.into_iter().enumerate() {
                    ensure!(
                        (0.0..1.0).contains(&beta),
                        InvalidArgument,
                        "betas[{i}] is {beta}, expected 0 <= beta < 1"
                    );
                }
                at_least_zero("eps", c.eps)?;
                at_least_zero("weight_decay", c.weight_decay)?;
            }
            Self::RmsProp(c) => {
                ensure!((0.0..=1.0).contains(&c.alpha), InvalidArgument, "alpha is {}, expected 0 to 1", c.alpha);
                at_least_zero("eps", c.eps)?;
                at_least_zero("weight_decay", c.weight_decay)?;
                at_least_zero("momentum", c.momentum)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_defaults_pass() {
        for name in ["sgd", "adam", "adamw", "rmsprop"] {
            let config = OptimizerConfig::from_name(name).unwrap();
            assert_eq!(config.name(), name);
            config.check().unwrap();
        }
        assert!(OptimizerConfig::from_name("adagrad").is_err());
    }

    #[test]
    fn bad_values_are_named() {
        let sgd = SgdConfig::default();
        let adam = AdamConfig::default();
        let rms = RmsPropConfig::default();
        let nan = f64::NAN;
        for (field, config) in [
            ("lr", OptimizerConfig::Sgd(SgdConfig { lr: -1.0, ..sgd })),
            ("lr", OptimizerConfig::Sgd(SgdConfig { lr: 1e300, ..sgd })),
            ("momentum", OptimizerConfig::Sgd(SgdConfig { momentum: nan, ..sgd })),
            ("dampening", OptimizerConfig::Sgd(SgdConfig { dampening: nan, ..sgd })),
            ("weight_decay", OptimizerConfig::Sgd(SgdConfig { weight_decay: -0.1, ..sgd })),
            ("nesterov", OptimizerConfig::Sgd(SgdConfig { nesterov: true, ..sgd })),
            ("nesterov", OptimizerConfig::Sgd(SgdConfig { nesterov: true, momentum: 0.9, dampening: 0.1, ..sgd })),
            ("lr", OptimizerConfig::Adam(AdamConfig { lr: f64::INFINITY, ..adam })),
            ("betas[0]", OptimizerConfig::Adam(AdamConfig { betas: [1.0, 0.9], ..adam })),
            ("betas[1]", OptimizerConfig::Adam(AdamConfig { betas: [0.9, nan], ..adam })),
            ("eps", OptimizerConfig::Adam(AdamConfig { eps: -1e-8, ..adam })),
            ("weight_decay", OptimizerConfig::Adam(AdamConfig { weight_decay: nan, ..adam })),
            ("lr", OptimizerConfig::RmsProp(RmsPropConfig { lr: nan, ..rms })),
            ("alpha", OptimizerConfig::RmsProp(RmsPropConfig { alpha: 1.1, ..rms })),
            ("eps", OptimizerConfig::RmsProp(RmsPropConfig { eps: nan, ..rms })),
            ("momentum", OptimizerConfig::RmsProp(RmsPropConfig { momentum: -1.0, ..rms })),
            ("weight_decay", OptimizerConfig::RmsProp(RmsPropConfig { weight_decay: -1.0, ..rms })),
        ] {
            let message = config.check().unwrap_err();
            assert!(message.message().starts_with(field), "{field}: {message}");
        }
    }
}
