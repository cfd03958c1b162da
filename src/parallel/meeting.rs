//! The barrier: where the members of a team wait for each other.

use super::signal::{Patience, Signal};

/// A place where any run of consecutive members can meet, again and again. In round r each tells the member 2^r places
/// on and hears from the one 2^r places before: after log2(members) rounds everyone has heard of everyone's arrival
/// (Hensgen, Finkel and Manber 1988). Every signal has one sender and one receiver, who wait for nothing else: for two
/// members a meeting costs one exchange.
pub(crate) struct Meeting {
    rounds: usize,
    /// For each member, what it hears in each round.
    signals: Box<[Signal]>,
}

impl Meeting {
    pub(crate) fn new(members: usize) -> Self {
        let rounds = members.next_power_of_two().trailing_zeros() as usize;
        Self { rounds, signals: (0..members * rounds).map(|_| Signal::new()).collect() }
    }

    /// Returns when all of the `count` members from `first` on have called this. `me` is one of them. What a member wrote
    /// before is seen by all after.
    #[inline]
    pub(crate) fn wait(&self, first: usize, count: usize, me: usize, patience: Patience) {
        let (mut round, mut distance) = (0, 1);
        while distance < count {
            let to = first + (me - first + distance) % count;
            self.signals[to * self.rounds + round].send();
            self.signals[me * self.rounds + round].receive(patience);
            (round, distance) = (round + 1, 2 * distance);
        }
    }

    /// One signal more for everyone, so that nobody waits for a member that is gone. The meeting is of no use after.
    pub(crate) fn dissolve(&self) {
        self.signals.iter().for_each(Signal::send);
    }
}
