// Microsoft's identity library logs in at the issuer of `serve --dev`, and the
// clients work with what it gets. The environment is that of attest.test.mjs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ClientSecretCredential } from "@azure/identity";
import { AttestationManagementClient } from "@azure/arm-attestation";
import { AttestationAdministrationClient } from "@azure/attestation";

const url = process.env.PROBITY_URL;
const as = (role) => new ClientSecretCredential("dev", role, "any", { authorityHost: url, disableInstanceDiscovery: true });
const permit = "version=1.0; authorizationrules{=> permit();};";

test("a contributor sets a policy, a reader reads it and changes nothing", async () => {
  const contributor = new AttestationAdministrationClient(url, as("contributor"));
  assert.equal((await contributor.setPolicy("OpenEnclave", permit)).body.policyResolution, "Updated");
  const reader = new AttestationAdministrationClient(url, as("reader"));
  assert.equal((await reader.getPolicy("OpenEnclave")).body, permit);
  await assert.rejects(reader.setPolicy("OpenEnclave", permit), { statusCode: 403, code: "Forbidden" });
  await contributor.resetPolicy("OpenEnclave");
});

test("an owner creates a provider; the audience is the service's", async () => {
  const arm = new AttestationManagementClient(as("owner"), "sub", { endpoint: url, $host: url });
  assert.equal((await arm.attestationProviders.create("group", "login", { location: "westus", properties: {} })).status, "Ready");
  await arm.attestationProviders.delete("group", "login");
  const reader = new AttestationManagementClient(as("reader"), "sub", { endpoint: url, $host: url });
  await assert.rejects(reader.attestationProviders.create("group", "login", { location: "westus", properties: {} }), { statusCode: 403 });
});
