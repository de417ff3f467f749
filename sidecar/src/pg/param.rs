//! Parameters that know their type, so that a statement needs no round trip, and no name, to find it out.

use chrono::{DateTime, Utc};
use postgres::types::{Json, ToSql, Type};

/// A parameter of a statement.
pub(crate) trait Param: Sync {
    /// What the statement takes it for.
    fn type_(&self) -> Type;
    /// Itself.
    fn value(&self) -> &(dyn ToSql + Sync);
}

/// A Rust type that stands for one of Postgres.
pub(crate) trait Typed {
    /// Which.
    const TYPE: Type;
}

/// One that there are arrays of.
pub(crate) trait Listed {
    /// The array's.
    const ARRAY: Type;
}

impl<T: Typed + ToSql + Sync> Param for T {
    fn type_(&self) -> Type {
        T::TYPE
    }

    fn value(&self) -> &(dyn ToSql + Sync) {
        self
    }
}

macro_rules! typed {
    ($($rust:ty => $scalar:ident, $array:ident;)*) => {
        $(
            impl Typed for $rust {
                const TYPE: Type = Type::$scalar;
            }
            impl Listed for $rust {
                const ARRAY: Type = Type::$array;
            }
        )*
    };
}

typed! {
    &str => TEXT, TEXT_ARRAY;
    String => TEXT, TEXT_ARRAY;
    &String => TEXT, TEXT_ARRAY;
    bool => BOOL, BOOL_ARRAY;
    i32 => INT4, INT4_ARRAY;
    i64 => INT8, INT8_ARRAY;
    u32 => OID, OID_ARRAY;
    f64 => FLOAT8, FLOAT8_ARRAY;
    DateTime<Utc> => TIMESTAMPTZ, TIMESTAMPTZ_ARRAY;
}

impl<T: Typed> Typed for Option<T> {
    const TYPE: Type = T::TYPE;
}

impl<T: Listed> Typed for Vec<T> {
    const TYPE: Type = T::ARRAY;
}

impl<T: Listed> Typed for &[T] {
    const TYPE: Type = T::ARRAY;
}

impl<T> Typed for Json<T> {
    const TYPE: Type = Type::JSONB;
}

/// Parameters with their types.
pub(super) fn typed<'a>(parameters: &[&'a dyn Param]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    parameters.iter().map(|parameter| (parameter.value(), parameter.type_())).collect()
}

/// Parameters alone.
pub(super) fn values<'a>(parameters: &[&'a dyn Param]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|parameter| parameter.value()).collect()
}
