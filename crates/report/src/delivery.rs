//! What a log tells of one delivery: one client network, sender and recipient, as the engine knows them.

use greylatch_core::Timestamp;

/// Seconds since 1970, enough until 2106; a log from before is not read.
pub(crate) type Second = u32;

/// No such time.
pub(crate) const NEVER: Second = Second::MAX;

/// A sender that has not come back for so long has given up: what comes then is another message.
///
/// Source: RFC 5321 §4.5.4.1 ("the give-up time generally needs to be at least 4-5 days").
pub(crate) const GIVEN_UP_S: Second = 5 * 86_400;

/// One delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// Where its texts are.
    pub(crate) text: Text,
    /// The hash of its sender and recipient.
    pub(crate) pair: u64,
    /// What greylisters said of it, and what MTAs did.
    courses: [Course; 2],
    /// The first pass since its first attempt.
    passed: Second,
    /// The last pass at all.
    passed_last: Option<Second>,
    /// How long it had waited when it passed, where a line says so.
    pub(crate) age_s: Option<u32>,
}

/// A place of four texts: address, name, sender, recipient.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Text {
    pub(crate) start: u64,
    pub(crate) lengths: [u16; 4],
}

/// Whose words a deferral is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    Greylister = 0,
    Mta = 1,
}

/// Its attempts that were deferred, as one teller has them. When the greylister's own lines are there,
/// those of the MTA tell the same again and do not count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// The first.
    pub(crate) first: Second,
    /// The last.
    pub(crate) last: Second,
    /// The first after the first.
    pub(crate) second: Second,
    /// How many.
    pub(crate) deferrals: u32,
    /// How many of them came back too early.
    pub(crate) early: u32,
}

impl Course {
    const NONE: Self = Self {
        first: NEVER,
        last: 0,
        second: NEVER,
        deferrals: 0,
        early: 0,
    };

    fn add(&mut self, at: Second) {
        if self.deferrals > 0 {
            let (earlier, later) = (self.first.min(at), self.first.max(at));
            if earlier < later {
                self.second = self.second.min(later);
            }
        }
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        self.deferrals = self.deferrals.saturating_add(1);
    }
}

impl Delivery {
    /// One of which nothing is known but its texts.
    pub(crate) fn new(text: Text, pair: u64) -> Self {
        Self {
            text,
            pair,
            courses: [Course::NONE; 2],
            passed: NEVER,
            passed_last: None,
            age_s: None,
        }
    }

    /// Takes note of a deferral; `early` if the line says whether it came back too early. Gives
    /// whether it did.
    pub(crate) fn deferred(&mut self, teller: Teller, at: Second, early: Option<bool>) -> bool {
        if self.is_another(teller, at) {
            self.courses[teller as usize] = Course::NONE;
            self.passed = NEVER;
            self.age_s = None;
        }
        let course = &mut self.courses[teller as usize];
        let early = early.unwrap_or(course.deferrals > 0 && at > course.first);
        course.add(at);
        course.early = course.early.saturating_add(u32::from(early));
        early
    }

    /// Takes note that it passed, and how long ago its first attempt was if the line says so.
    pub(crate) fn passed(&mut self, at: Second, age_s: Option<u32>) {
        self.passed_last = self.passed_last.max(Some(at));
        if self.began() <= at {
            self.passed = self.passed.min(at);
        }
        if let Some(age_s) = age_s
            && self.age_s.is_none()
        {
            self.age_s = Some(age_s);
            if self.began() == NEVER {
                // Its deferral is not in the log.
                self.passed = at;
            }
        }
    }

    /// What counts of its deferrals; none has been seen when it only passed.
    pub(crate) fn course(&self) -> Option<&Course> {
        self.courses.iter().find(|course| course.deferrals > 0)
    }

    /// Whether only an MTA's lines tell of its deferrals.
    pub(crate) fn is_told_by_mta(&self) -> bool {
        let [greylister, mta] = &self.courses;
        greylister.deferrals == 0 && mta.deferrals > 0
    }

    /// Its first attempt that is known of.
    pub(crate) fn first(&self) -> Option<Second> {
        match (self.course(), self.age_s) {
            (Some(course), _) => Some(course.first),
            (None, Some(age_s)) => Some(self.passed.saturating_sub(age_s)),
            (None, None) => None,
        }
    }

    /// Whether its last attempt was deferred, and nothing has passed since.
    pub(crate) fn is_open(&self) -> bool {
        let last = self.course().map(|course| course.last);
        last.is_some_and(|last| self.passed_last.is_none_or(|passed| passed < last))
    }

    /// How long it waited until it passed.
    pub(crate) fn waited_s(&self) -> Option<u32> {
        if self.is_open() || self.passed == NEVER {
            return None;
        }
        self.age_s
            .or_else(|| self.passed.checked_sub(self.course()?.first))
    }

    /// How long after its first attempt it came back, whatever became of that.
    pub(crate) fn retried_after_s(&self) -> Option<u32> {
        let course = self.course()?;
        let again = if self.passed > course.first {
            course.second.min(self.passed)
        } else {
            course.second
        };
        (again != NEVER).then(|| again - course.first)
    }

    fn began(&self) -> Second {
        let [one, other] = &self.courses;
        one.first.min(other.first)
    }

    /// Whether a deferral belongs to another message than those before: it has passed meanwhile, or
    /// its sender had given up.
    fn is_another(&self, teller: Teller, at: Second) -> bool {
        let course = &self.courses[teller as usize];
        if course.deferrals == 0 || at <= course.last {
            return false;
        }
        let has_passed = |passed| passed >= course.last && passed < at;
        self.passed_last.is_some_and(has_passed) || at - course.last > GIVEN_UP_S
    }
}

/// A time as it is kept.
pub(crate) fn second(at: Timestamp) -> Option<Second> {
    Second::try_from(at.0).ok().filter(|at| *at != NEVER)
}

/// A time that was kept.
pub(crate) fn timestamp(at: Second) -> Timestamp {
    Timestamp(i64::from(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deferred(at: &[Second]) -> Delivery {
        let mut delivery = Delivery::new(Text::default(), 0);
        for at in at {
            delivery.deferred(Teller::Greylister, *at, None);
        }
        delivery
    }

    #[test]
    fn one_that_passed_has_waited_since_its_first_attempt() {
        let mut delivery = deferred(&[100, 130]);
        assert!(delivery.is_open());
        assert_eq!(delivery.waited_s(), None);
        delivery.passed(400, None);
        delivery.passed(900, None);
        assert!(!delivery.is_open());
        assert_eq!(delivery.waited_s(), Some(300));
        assert_eq!(delivery.retried_after_s(), Some(30));
        assert_eq!(delivery.course().map(|course| course.early), Some(1));
    }

    #[test]
    fn the_order_of_lines_does_not_matter_within_one_course() {
        let mut delivery = deferred(&[130, 100]);
        delivery.passed(400, None);
        assert_eq!(delivery.retried_after_s(), Some(30));
        assert_eq!(delivery.waited_s(), Some(300));
        let mut delivery = deferred(&[100]);
        delivery.passed(90, None);
        assert!(delivery.is_open());
    }

    #[test]
    fn what_the_line_says_of_the_wait_counts_also_without_the_deferral() {
        let mut delivery = Delivery::new(Text::default(), 0);
        delivery.passed(1_000, Some(310));
        assert_eq!(delivery.waited_s(), Some(310));
        assert_eq!(delivery.first(), Some(690));
        assert_eq!(delivery.retried_after_s(), None);
    }

    #[test]
    fn a_deferral_after_a_pass_or_after_giving_up_is_of_another_message() {
        let mut delivery = deferred(&[100]);
        delivery.passed(400, None);
        delivery.deferred(Teller::Greylister, 9_000_000, None);
        assert!(delivery.is_open());
        assert_eq!(delivery.first(), Some(9_000_000));
        assert_eq!(delivery.retried_after_s(), None);
        let delivery = deferred(&[100, 100 + GIVEN_UP_S]);
        assert_eq!(delivery.first(), Some(100));
        let delivery = deferred(&[100, 101 + GIVEN_UP_S]);
        assert_eq!(delivery.first(), Some(101 + GIVEN_UP_S));
    }

    #[test]
    fn an_mta_tells_only_where_the_greylister_does_not() {
        let mut delivery = deferred(&[100]);
        delivery.deferred(Teller::Mta, 101, None);
        let course = delivery.course().expect("it was deferred");
        assert_eq!((course.first, course.deferrals), (100, 1));
        let mut delivery = Delivery::new(Text::default(), 0);
        delivery.deferred(Teller::Mta, 101, None);
        assert_eq!(delivery.first(), Some(101));
    }
}
