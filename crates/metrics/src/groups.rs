//! Closeness of parts of an output, where one output mixes quantities.

use serde::{Deserialize, Serialize};

use crate::{Comparison, MetricsError};

/// How the channels of an output are divided.
///
/// ```yaml
/// axis: 2
/// groups:
///   - {name: xy, from: 0, to: 2}
///   - {name: classes, from: 5}      # to the end
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Groups {
    /// The axis of the channels, from 0.
    pub axis: usize,
    /// The groups. They may overlap, and need not cover every channel.
    pub groups: Vec<Group>,
}

/// A range of channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Group {
    /// What the channels mean.
    pub name: String,
    /// The first channel.
    pub from: usize,
    /// The channel behind the last one; the end of the axis if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<usize>,
}

impl Groups {
    /// YOLOv5's one output `[1, 25200, 5 + classes]`: centre, size, objectness, classes.
    pub fn yolov5() -> Self {
        Self::of(
            2,
            &[("xy", 0, Some(2)), ("wh", 2, Some(4)), ("objectness", 4, Some(5)), ("classes", 5, None)],
        )
    }

    /// YOLOv8's one output `[1, 4 + classes, 8400]`: boxes and classes.
    pub fn yolov8() -> Self {
        Self::of(1, &[("boxes", 0, Some(4)), ("classes", 4, None)])
    }

    fn of(axis: usize, groups: &[(&str, usize, Option<usize>)]) -> Self {
        let group = |&(name, from, to): &(&str, _, _)| Group { name: name.to_owned(), from, to };
        Self { axis, groups: groups.iter().map(group).collect() }
    }

    /// The range of each group along an axis of an output of this shape.
    fn ranges(&self, shape: &[usize]) -> Result<Vec<std::ops::Range<usize>>, MetricsError> {
        let length = shape.get(self.axis).copied().unwrap_or(0);
        let range =
            |group: &Group| {
                let to = group.to.unwrap_or(length);
                (group.from < to && to <= length).then_some(group.from..to).ok_or_else(|| {
                    MetricsError::Group { group: group.name.clone(), shape: shape.to_vec(), axis: self.axis }
                })
            };
        self.groups.iter().map(range).collect()
    }
}

/// A [`Comparison`] of each group of channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouped {
    groups: Groups,
    comparisons: Vec<Comparison>,
}

impl Grouped {
    /// Nothing compared yet.
    pub fn new(groups: Groups) -> Self {
        Self { comparisons: vec![Comparison::default(); groups.groups.len()], groups }
    }

    /// Adds a pair of outputs of this shape.
    ///
    /// # Errors
    /// [`MetricsError::Length`], [`MetricsError::Shape`] and [`MetricsError::Group`]; nothing has been added then.
    pub fn add(&mut self, reference: &[f32], other: &[f32], shape: &[usize]) -> Result<(), MetricsError> {
        if reference.len() != other.len() {
            return Err(MetricsError::Length { reference: reference.len(), other: other.len() });
        }
        if shape.iter().product::<usize>() != reference.len() {
            return Err(MetricsError::Shape { shape: shape.to_vec(), values: reference.len() });
        }
        let ranges = self.groups.ranges(shape)?;
        let inner: usize = shape[self.groups.axis + 1..].iter().product();
        let stride = shape[self.groups.axis] * inner;
        if stride == 0 {
            return Ok(());
        }
        for (reference, other) in reference.chunks_exact(stride).zip(other.chunks_exact(stride)) {
            for (range, comparison) in ranges.iter().zip(&mut self.comparisons) {
                let part = range.start * inner..range.end * inner;
                comparison.add(&reference[part.clone()], &other[part])?;
            }
        }
        Ok(())
    }

    /// Adds another's pairs; both were made of the same groups.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.comparisons.iter_mut().zip(&other.comparisons) {
            own.merge(other);
        }
    }

    /// Each group's name and comparison, in the order of the groups.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Comparison)> {
        self.groups.groups.iter().map(|group| group.name.as_str()).zip(&self.comparisons)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lie_along_their_axis() {
        // Two boxes of 4 + 1 + 2 channels: only the objectness of the second differs.
        let reference: Vec<f32> = (0..14).map(|i| i as f32 + 1.0).collect();
        let mut other = reference.clone();
        other[7 + 4] += 1.0;
        let errors = |grouped: &Grouped| -> Vec<(String, f64)> {
            let error = |c: &Comparison| c.figures().max_error.unwrap();
            grouped.iter().map(|(name, c)| (name.to_owned(), error(c))).collect()
        };
        let mut grouped = Grouped::new(Groups::yolov5());
        grouped.add(&reference, &other, &[1, 2, 7]).unwrap();
        let named = |pairs: &[(&str, f64)]| -> Vec<_> {
            pairs.iter().map(|(name, error)| ((*name).to_owned(), *error)).collect()
        };
        let expected = named(&[("xy", 0.0), ("wh", 0.0), ("objectness", 1.0), ("classes", 0.0)]);
        assert_eq!(errors(&grouped), expected);

        // The same numbers as 7 channels of 2 boxes: element 11 is in channel 5.
        let mut grouped = Grouped::new(Groups::yolov8());
        grouped.add(&reference, &other, &[1, 7, 2]).unwrap();
        assert_eq!(errors(&grouped), named(&[("boxes", 0.0), ("classes", 1.0)]));
    }

    #[test]
    fn every_value_is_in_its_group_once() {
        let values = vec![1.0; 2 * 6 * 3];
        let mut grouped = Grouped::new(Groups::yolov8());
        grouped.add(&values, &values, &[2, 6, 3]).unwrap();
        let counts: Vec<u64> = grouped.iter().map(|(_, c)| c.figures().values).collect();
        assert_eq!(counts, [24, 12]);
    }

    #[test]
    fn groups_that_do_not_fit_are_refused_by_name() {
        let values = [0.0; 12];
        let cases: [(&[usize], &str); 3] = [(&[1, 3, 4], "objectness"), (&[12], "xy"), (&[1, 1, 12], "")];
        for (shape, expected) in cases {
            let found = Grouped::new(Groups::yolov5()).add(&values, &values, shape);
            match expected {
                "" => assert_eq!(found, Ok(())),
                name => {
                    let error = found.unwrap_err();
                    assert!(matches!(&error, MetricsError::Group { group, .. } if group == name), "{error}");
                }
            }
        }
        let error = Grouped::new(Groups::yolov8()).add(&values, &values, &[1, 6, 3]).unwrap_err();
        assert_eq!(error, MetricsError::Shape { shape: vec![1, 6, 3], values: 12 });
    }

    #[test]
    fn groups_are_written_in_yaml() {
        let text = "axis: 1\ngroups:\n- {name: boxes, from: 0, to: 4}\n- {name: classes, from: 4}\n";
        assert_eq!(serde_yaml::from_str::<Groups>(text).unwrap(), Groups::yolov8());
        assert!(serde_yaml::from_str::<Groups>("axis: 1\ngroup: []\n").is_err());
    }
}
