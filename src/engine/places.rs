//! The flights of a worker: a place for each, kept and used again with its buffers.
//!
//! Invariant: a key is good until its flight is given back; a later flight at the same place has another key.

use super::flight::Flight;
use super::transport::FlightKey;

/// The places.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    taken: bool,
    /// None while it is lifted.
    flight: Option<Box<Flight>>,
}

impl Places {
    /// Flights that are under way.
    pub(super) fn taken(&self) -> u32 {
        (self.places.len() - self.free.len()) as u32
    }

    /// A place for a flight; what was known of the one that was there before still stands in it.
    pub(super) fn take(&mut self) -> FlightKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.taken = true;
        place.flight.get_or_insert_default();
        FlightKey { index, generation: place.generation }
    }

    /// The flight of a key, if it is still under way.
    #[inline]
    pub(super) fn current(&mut self, key: FlightKey) -> Option<&mut Flight> {
        let place = &mut self.places[key.index as usize];
        place.flight.as_deref_mut().filter(|_| place.taken && place.generation == key.generation)
    }

    /// Keys of all flights under way.
    pub(super) fn keys(&self) -> Vec<FlightKey> {
        let taken = (0u32..).zip(&self.places).filter(|(_, place)| place.taken);
        taken.map(|(index, place)| FlightKey { index, generation: place.generation }).collect()
    }

    /// Takes a flight out, to be looked at while the worker does other things; [`Places::give_back`] follows.
    pub(super) fn lift(&mut self, key: FlightKey) -> Box<Flight> {
        self.places[key.index as usize].flight.take().unwrap_or_default()
    }

    /// Frees a place for another flight.
    pub(super) fn give_back(&mut self, key: FlightKey, flight: Box<Flight>) {
        let place = &mut self.places[key.index as usize];
        place.flight = Some(flight);
        place.taken = false;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_with_its_flight_and_its_place_is_used_again() {
        let mut places = Places::default();
        let (first, second) = (places.take(), places.take());
        assert_eq!((places.taken(), places.keys()), (2, vec![first, second]));
        let flight = places.lift(first);
        places.give_back(first, flight);
        let third = places.take();
        assert_eq!((third.index, places.taken()), (first.index, 2));
        assert!(places.current(first).is_none() && places.current(third).is_some());
    }
}
