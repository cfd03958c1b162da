use super::*;
use crate::error::ErrorKind;
use crate::nn::{NonFinite, RmsPropConfig, SgdConfig};
use crate::random::Random;
use std::collections::BTreeMap;

/// A file in memory.
#[derive(Clone, Default, PartialEq, Debug)]
struct File {
    texts: BTreeMap<String, String>,
    tensors: BTreeMap<String, Vec<f32>>,
}

impl StateSink<'_> for File {
    fn text(&mut self, key: &str, value: &str) -> Result<()> {
        assert!(self.texts.insert(key.into(), value.into()).is_none(), "{key} twice");
        Ok(())
    }
    fn tensor(&mut self, name: &str, values: &[f32]) -> Result<()> {
        assert!(self.tensors.insert(name.into(), values.into()).is_none(), "{name} twice");
        Ok(())
    }
}

impl StateSource for File {
    fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(|s| &s[..])
    }
    fn tensor_len(&self, name: &str) -> Option<usize> {
        self.tensors.get(name).map(Vec::len)
    }
    fn read_tensor(&self, name: &str, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&self.tensors[name]);
        Ok(())
    }
}

fn normal(seed: u64, n: usize) -> Vec<f32> {
    let mut r = Random::new(seed, 0);
    (0..n).map(|_| r.normal() as f32).collect()
}

fn configs() -> [OptimizerConfig; 6] {
    [
        OptimizerConfig::Sgd(SgdConfig::default()),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, nesterov: true, ..SgdConfig::default() }),
        OptimizerConfig::Adam(AdamConfig { lr: 0.1, ..AdamConfig::default() }),
        OptimizerConfig::Adam(AdamConfig::adamw()),
        OptimizerConfig::RmsProp(RmsPropConfig::default()),
        OptimizerConfig::RmsProp(RmsPropConfig { momentum: 0.1, centered: true, ..RmsPropConfig::default() }),
    ]
}

/// Steps `from..to` of a training with two parameters, the second of which joins at step 3 and skips every fourth step.
fn train(o: &mut Optimizer, p: &mut [Vec<f32>; 2], from: u64, to: u64) {
    for t in from..to {
        o.begin_step();
        o.update(5, &mut p[0], &normal(10 + t, 9)).unwrap();
        if t >= 3 && t % 4 != 0 {
            o.update(2, &mut p[1], &normal(90 + t, 4)).unwrap();
        }
    }
}

fn saved(config: &OptimizerConfig, steps: u64) -> (Optimizer, [Vec<f32>; 2], File) {
    let mut o = Optimizer::new(config).unwrap();
    let mut p = [normal(1, 9), normal(2, 4)];
    train(&mut o, &mut p, 0, steps);
    let mut file = File::default();
    o.save(&mut file).unwrap();
    (o, p, file)
}

#[test]
fn training_goes_on_bit_for_bit() {
    for config in configs() {
        let (mut o, mut p, file) = saved(&config, 7);
        let mut q = p.clone();
        let mut restored = Optimizer::new(&OptimizerConfig::from_name("sgd").unwrap()).unwrap();
        let pool = crate::Pool::new(2).unwrap();
        restored.set_pool(Some(&pool));
        restored.restore(&file).unwrap();
        assert_eq!(restored.pool.as_ref().map(crate::Pool::threads), Some(2), "a pool is not part of a file");
        assert_eq!(restored.config(), o.config());
        assert_eq!((restored.step_count(), restored.updates(2), restored.updates(5)), (7, 3, 7));
        let mut again = File::default();
        restored.save(&mut again).unwrap();
        assert_eq!(again, file);
        train(&mut o, &mut p, 7, 20);
        train(&mut restored, &mut q, 7, 20);
        assert_eq!(p, q, "{config:?}");
    }
}

#[test]
fn what_was_updated_stays_updated() {
    let (_, mut p, file) = saved(&configs()[2], 7);
    let mut o = Optimizer::new(&configs()[0]).unwrap();
    o.restore(&file).unwrap();
    assert_eq!(o.update(5, &mut p[0], &[0.0; 9]).unwrap_err().kind(), ErrorKind::InvalidState);
}

#[test]
fn names_are_pytorch_s() {
    let (o, _, file) = saved(&configs()[3], 5);
    let names: Vec<_> = o.state_tensors().map(|t| (t.slot, t.name, t.values.len())).collect();
    assert_eq!(names, [(2, "exp_avg", 4), (2, "exp_avg_sq", 4), (5, "exp_avg", 9), (5, "exp_avg_sq", 9)]);
    assert_eq!(file.texts["optimizer.name"], "adamw");
    assert_eq!(file.texts["optimizer.lr"], format!("{:016x}", 1e-3f64.to_bits()));
    assert_eq!(file.tensors["optimizer.5.exp_avg_sq"].len(), 9);
}

#[test]
fn damaged_files_change_nothing() {
    for config in configs() {
        let (_, _, file) = saved(&config, 5);
        let (mut o, _, before) = saved(&configs()[2], 3);
        let mut check = |file: &File, what: &str| {
            let error = o.restore(file).expect_err(what);
            let mut after = File::default();
            o.save(&mut after).unwrap();
            assert_eq!(after, before, "{what}");
            error
        };
        for key in file.texts.keys() {
            let mut bad = file.clone();
            bad.texts.remove(key);
            let error = check(&bad, key);
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().contains(&key[..]), "{error}");
            for value in ["", "x", "-1", "2 2", "ffffffffffffffff", "Ж", "99999999999999999999999"] {
                bad.texts.insert(key.clone(), value.into());
                let error = check(&bad, &format!("{key} = {value}"));
                assert!(
                    error.message().contains(key.trim_start_matches("optimizer.")) || key.contains("beta"),
                    "{error}"
                );
            }
        }
        for name in file.tensors.keys() {
            let mut bad = file.clone();
            bad.tensors.get_mut(name).unwrap().pop();
            assert_eq!(check(&bad, name).kind(), ErrorKind::ShapeMismatch);
            bad.tensors.remove(name);
            assert_eq!(check(&bad, name).kind(), ErrorKind::NotFound);
        }
        for (key, value) in [
            ("optimizer.slot_count", "3"),
            ("optimizer.slot_count", "1"),
            ("optimizer.slot_count", "18446744073709551615"),
            ("optimizer.step", "4"),
            ("optimizer.slot.0", "5 9 5 5 0000000000000000 0000000000000000"),
            ("optimizer.slot.1", "5 9 6 5 0000000000000000 0000000000000000"),
            ("optimizer.slot.1", "5 9 0 5 0000000000000000 0000000000000000"),
            ("optimizer.slot.1", "5 9 5 5 7ff8000000000000 0000000000000000"),
            ("optimizer.slot.1", "5 9 5 5 0000000000000000"),
            ("optimizer.slot.1", "5 9 5 5 0000000000000000 0000000000000000 0"),
        ] {
            let mut bad = file.clone();
            bad.texts.insert(key.into(), value.into());
            check(&bad, value);
        }
    }
    let (_, _, mut file) = saved(&configs()[2], 5);
    file.texts.insert("optimizer.slot.1".into(), "5 9 5 5 3ff0000000000000 0000000000000000".into());
    assert!(Optimizer::new(&configs()[0]).unwrap().restore(&file).is_err());
}

/// Room that a refused update has made for its slot is no part of the state.
#[test]
fn refused_updates_leave_no_trace() {
    for config in configs() {
        let (mut o, mut p, file) = saved(&config, 7);
        let (mut twin, mut q, _) = saved(&config, 7);
        let mut v = [0.5f32; 6];
        // Each twice: what is refused once stays refused.
        for _ in 0..2 {
            let mut fails = |slot, values: &[f32], rows: Option<&[u32]>, kind| {
                let found = match rows {
                    None => o.update(slot, &mut v, values),
                    Some(rows) => o.update_rows(slot, &mut v, 2, rows, values),
                };
                assert_eq!(found.unwrap_err().kind(), kind, "{config:?} slot {slot}");
                let mut now = File::default();
                o.save(&mut now).unwrap();
                assert_eq!(now, file, "{config:?} slot {slot}");
            };
            let nan = [1.0, 1.0, f32::NAN, 1.0, 1.0, 1.0];
            fails(5, &[1.0; 6], None, ErrorKind::ShapeMismatch);
            fails(7, &[1.0; 5], None, ErrorKind::ShapeMismatch);
            fails(7, &nan, None, ErrorKind::NonFinite);
            fails(1, &nan, Some(&[0, 1, 2]), ErrorKind::NonFinite);
            fails(1, &[1.0; 2], Some(&[3]), ErrorKind::InvalidArgument);
            fails(1, &[1.0; 4], Some(&[1, 1]), ErrorKind::InvalidArgument);
            assert_eq!(o.update(5, &mut p[0], &[1.0; 9]).unwrap_err().kind(), ErrorKind::InvalidState);
        }
        assert_eq!(o.skipped(), 0);
        o.set_non_finite(NonFinite::Skip);
        for skipped in 1..=2 {
            o.update(7, &mut v, &[f32::INFINITY; 6]).unwrap();
            assert_eq!((o.skipped(), o.updates(7), v), (skipped, 0, [0.5; 6]));
        }
        train(&mut o, &mut p, 7, 12);
        train(&mut twin, &mut q, 7, 12);
        // The number is free for any length.
        let (mut a, mut b) = ([1f32; 4], [1f32; 4]);
        o.update(7, &mut a, &[1.0; 4]).unwrap();
        twin.update(7, &mut b, &[1.0; 4]).unwrap();
        let (mut found, mut expected) = (File::default(), File::default());
        o.save(&mut found).unwrap();
        twin.save(&mut expected).unwrap();
        assert_eq!((found, &p, a), (expected, &q, b), "{config:?}");
    }
}
