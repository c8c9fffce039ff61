// Every kind that can be served; each has a file beside this one.
export const kinds = [
  'adfs', 'apple', 'auth0', 'bitbucket', 'cidaas', 'cognito', 'digitalocean', 'discord', 'entra',
  'facebook', 'forgejo', 'gitea', 'github', 'gitlab', 'google', 'keycloak', 'linkedin', 'login_gov',
  'nextcloud', 'oauth2', 'oidc', 'okta', 'slack', 'sourcehut',
];
