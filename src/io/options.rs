//! What loading and saving let pass.

/// How strictly a module is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether NaN and infinite values are taken. By default they are errors.
    pub allow_non_finite: bool,
    /// Whether tensors that stay unused are passed over. By default they are errors: those whose names follow the prefix
    /// without another `.` (they are the module's own; what comes after a `.` belongs to modules below); under `optimizer.`
    /// for an optimizer; and of a classifier's whole file, but for what is under `optimizer.` and `trainer.`.
    pub allow_unused: bool,
}

/// How strictly tensors are saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaveOptions {
    /// Whether NaN and infinite values are written. By default they are errors, as loading refuses them: a run that
    /// diverged does not replace the file of one that had not.
    pub allow_non_finite: bool,
}
