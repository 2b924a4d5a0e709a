// A real OpenID provider for tests: node provider.mjs PORT CLIENT. CLIENT is what it knows of the hub, as JSON.
// Anybody who types a name signs in as that person; a name with a dash is in the group behind the dash.
import { Provider } from 'oidc-provider';

const [port, client] = [Number(process.argv[2]), JSON.parse(process.argv[3])];
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [client],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'email', 'groups'],
  cookies: { keys: ['a key of tests'] },
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: true } },
  // Its own guard keeps it from calling this machine, where the hub of the tests is.
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  pkce: { required: () => true },
  ttl: { Session: 3600, Interaction: 3600, Grant: 3600 },
  async findAccount(context, id) {
    const groups = id.includes('-') ? [id.split('-')[1]] : [];
    const email = `${id}@example.com`;
    return {
      accountId: id,
      claims: async () => ({ sub: id, name: `The ${id}`, preferred_username: id, email, email_verified: true, groups }),
    };
  },
});
provider.on('server_error', (context, error) => console.error(error));
provider.on('backchannel.error', (context, error) => console.error(error));
provider.listen(port, '127.0.0.1', () => console.log(`listens on ${issuer}`));
