// Who can sign in (the password of the form is "password"), and what is known about them.
const times = (count, make) => Array.from({ length: count }, (_, index) => make(index));
export const users = {
  alice: {
    name: 'Alice Example',
    preferred_username: 'alice',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['staff', 'admin'],
  },
  bob: {
    name: 'Bob Example',
    preferred_username: 'bob',
    email: 'bob@other.example',
    email_verified: false,
    groups: ['guest'],
  },
  // More than one cookie takes, and more than cookies take at all.
  big: {
    name: 'Big Example',
    email: 'big@example.com',
    email_verified: true,
    groups: times(300, (index) => `group-number-${index}-of-many`),
  },
  huge: {
    name: 'Huge Example',
    email: 'huge@example.com',
    email_verified: true,
    groups: times(4000, (index) => `cn=group-${index},ou=deep,dc=example,dc=com`),
  },
  minimal: {},
  // Claims that try to become header lines, list separators or markup.
  inject: {
    name: 'Mallory\r\nX-Injected: 1',
    preferred_username: 'mallory\nX-Injected: 2',
    email: 'mallory@example.com\r\nX-Injected: 3',
    email_verified: true,
    groups: ['staff\r\nX-Injected: 4', 'staff,admin', '<script>alert(1)</script>'],
  },
  unicode: {
    name: 'Zoë Ünï “Ø” 山田 🙂',
    preferred_username: 'zoë',
    email: 'zoë@exämple.example',
    email_verified: true,
    groups: ['grüppe', 'mit leerzeichen', '部門'],
  },
};
