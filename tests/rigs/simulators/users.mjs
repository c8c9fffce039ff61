// Who can sign in at a simulated provider; a test can add claims to each.
export const users = {
  alice: {
    name: 'Alice Example', preferred_username: 'alice', email: 'alice@example.com',
    email_verified: true, groups: ['staff', 'admin'], cpf: '12345678901',
  },
  bob: {
    name: 'Bob Example', preferred_username: 'bob', email: 'bob@other.example',
    email_verified: false, groups: ['guest'], cnpj: ['12345678901234'],
  },
  minimal: {},
};
