// The same four people at every vendor. Nobody of these names is known to the author.

export const people = {
  // A member of everything that the fixtures name.
  member: {
    id: 83104, uuid: '5f1d2c1e-8a30-4c57-9d0b-6d1f1a0c8310', login: 'mlindqvist',
    name: 'Mira Lindqvist', given: 'Mira', family: 'Lindqvist', email: 'mira@example.com', verified: true,
  },
  // A member of nothing.
  outsider: {
    id: 83105, uuid: '0b6a5f7c-2f64-4f0e-8f3e-2c9be40c8310', login: 'obrandt',
    name: 'Odo Brandt', given: 'Odo', family: 'Brandt', email: 'odo@elsewhere.example', verified: true,
  },
  // A member whose e-mail address the vendor has not verified, or does not tell.
  unverified: {
    id: 83106, uuid: 'c39de7a4-51d2-4c3b-bb55-1c6b1e0c8310', login: 'upetrova',
    name: 'Una Petrova', given: 'Una', family: 'Petrova', email: 'una@example.com', verified: false,
  },
  // A member of more than one page, or one token, holds.
  many: {
    id: 83107, uuid: 'e7b9c9a2-13f0-4a43-9a5c-7f2d3b0c8310', login: 'mgruber',
    name: 'Max Gruber', given: 'Max', family: 'Gruber', email: 'max@example.com', verified: true,
  },
};

// Everybody with their groups; `more` are people whom only one vendor has.
export const cast = ({ member, many, ...more }) => ({
  member: { ...people.member, groups: member },
  outsider: { ...people.outsider, groups: [] },
  unverified: { ...people.unverified, groups: member },
  many: { ...people.many, groups: [...member, ...many] },
  ...more,
});

export const times = (count, make) => Array.from({ length: count }, (_, index) => make(index + 1));
