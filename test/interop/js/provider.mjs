// An OpenID Connect provider that is not ours: oidc-provider, certified by the
// OpenID Foundation, with two clients. The Go test names issuer, certificate and key in
// the environment and ends the process.

import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import Provider from "oidc-provider";

const issuer = process.env.OIDC_ISSUER;
const client = (id) => ({ client_id: id, client_secret: "secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] });
const provider = new Provider(issuer, {
  clients: [client("platform"), client("intern")],
  extraTokenClaims: (_, token) => ({ groups: ["staff", token.clientId] }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "https://attest.azure.net",
      getResourceServerInfo: (_, resource) => ({ scope: "", audience: resource, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } }),
    },
  },
});
const { hostname, port } = new URL(issuer);
createServer({ key: readFileSync(process.env.OIDC_KEY), cert: readFileSync(process.env.OIDC_CERT) }, provider.callback()).listen(Number(port), hostname);
