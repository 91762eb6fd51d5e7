// Microsoft's JavaScript clients create providers through the resource manager,
// and manage policies and their certificates of both trust models. The environment
// is that of policy.test.mjs.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { AttestationManagementClient } from "@azure/arm-attestation";
import { AttestationAdministrationClient, AttestationClient } from "@azure/attestation";

const url = process.env.PROBITY_URL;
const folder = process.env.PROBITY_EVIDENCE;
const text = (name) => readFileSync(join(folder, name), "utf8");
const quote = readFileSync(join(folder, "quote.bin"));
const as = (token) => ({ getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3600_000 }) });
const credential = as(process.env.PROBITY_ADMIN_TOKEN);
const arm = new AttestationManagementClient(credential, "11111111-1111-1111-1111-111111111111", { endpoint: url, $host: url });
const x5c = (name) => text(name).replace(/-----[^-]+-----|\s/g, "");
const permit = "version=1.0; authorizationrules{=> permit();};";
const keys = { privateKey: text("rsa-key.pem"), certificate: text("rsa-cert.pem") };
let aad, isolated;

before(async () => {
  aad = await arm.attestationProviders.create("group", "aadjs", { location: "westus", properties: {} });
  isolated = await arm.attestationProviders.create("group", "isolatedjs", { location: "westus", tags: { of: "test" },
    properties: { policySigningCertificates: { keys: [{ kty: "RSA", use: "sig", alg: "RS256", x5C: [x5c("rsa-cert.pem")] }] } } });
});

after(async () => {
  for (const name of ["aadjs", "isolatedjs"]) await arm.attestationProviders.delete("group", name);
  await assert.rejects(arm.attestationProviders.get("group", "aadjs"), { statusCode: 404 });
});

test("providers are created, read, updated and listed", async () => {
  assert.equal(aad.trustModel, "AAD");
  assert.equal(isolated.trustModel, "Isolated");
  assert.equal(isolated.status, "Ready");
  assert.equal(aad.attestUri, `${url}/p/aadjs`);
  assert.match(aad.id, /^\/subscriptions\/1{8}.*\/resourceGroups\/group\/providers\/Microsoft\.Attestation\/attestationProviders\/aadjs$/);
  const updated = await arm.attestationProviders.update("group", "aadjs", { tags: { team: "a" } });
  assert.deepEqual(updated.tags, { team: "a" });
  assert.deepEqual((await arm.attestationProviders.get("group", "aadjs")).tags, { team: "a" });
  const names = async (list) => (await list).value.map((p) => p.name).sort();
  assert.deepEqual(await names(arm.attestationProviders.list()), ["aadjs", "isolatedjs"]);
  assert.deepEqual(await names(arm.attestationProviders.listByResourceGroup("group")), ["aadjs", "isolatedjs"]);
  assert.deepEqual(await names(arm.attestationProviders.listByResourceGroup("another")), []);
  assert.ok((await arm.attestationProviders.listDefault()).value.length > 50);
  const standard = await arm.attestationProviders.getDefaultByLocation("West US");
  assert.equal(standard.name, "sharedwus");
  assert.equal(standard.attestUri, url);
  const operations = [];
  const answer = await arm.operations.list();
  for (const o of answer.value) operations.push(o.name);
  assert.ok(operations.includes("Microsoft.Attestation/attestationProviders/read"));
});

test("private endpoint connections are recorded", async () => {
  const made = await arm.privateEndpointConnections.create("group", "aadjs", "link", { privateLinkServiceConnectionState: { status: "Approved", description: "mine" } });
  assert.equal(made.provisioningState, "Succeeded");
  assert.equal((await arm.privateEndpointConnections.get("group", "aadjs", "link")).privateLinkServiceConnectionState.status, "Approved");
  const all = [];
  for await (const c of arm.privateEndpointConnections.list("group", "aadjs")) all.push(c.name);
  assert.deepEqual(all, ["link"]);
  await arm.privateEndpointConnections.delete("group", "aadjs", "link");
});

test("an AAD provider takes unsigned policies, and has no certificates", async () => {
  const admin = new AttestationAdministrationClient(aad.attestUri, credential);
  assert.equal((await admin.setPolicy("SgxEnclave", permit)).body.policyResolution, "Updated");
  assert.deepEqual((await admin.getPolicyManagementCertificates()).body, []);
  const { body, token } = await new AttestationClient(aad.attestUri).attestSgxEnclave(quote);
  assert.equal(body.issuer, aad.attestUri);
  assert.ok(token.keyId);
});

test("an Isolated provider takes what its certificates signed, and nothing else", async () => {
  const admin = new AttestationAdministrationClient(isolated.attestUri, credential);
  await assert.rejects(admin.setPolicy("SgxEnclave", permit), { statusCode: 400, code: "InvalidOperation" });
  const stranger = { privateKey: text("ec-key.pem"), certificate: text("ec-cert.pem") };
  await assert.rejects(admin.setPolicy("SgxEnclave", permit, stranger), { statusCode: 400, code: "InvalidOperation" });
  assert.equal((await admin.setPolicy("SgxEnclave", permit, keys)).body.policyResolution, "Updated");
  const added = await admin.addPolicyManagementCertificate(stranger.certificate, keys.privateKey, keys.certificate);
  assert.equal(added.body.certificateResolution, "IsPresent");
  assert.equal(added.body.certificateThumbprint, new X509Certificate(stranger.certificate).fingerprint.replaceAll(":", ""));
  assert.equal((await admin.getPolicyManagementCertificates()).body.length, 2);
  assert.equal((await admin.setPolicy("SgxEnclave", permit, stranger)).body.policyResolution, "Updated");
  const removed = await admin.removePolicyManagementCertificate(stranger.certificate, keys.privateKey, keys.certificate);
  assert.equal(removed.body.certificateResolution, "IsAbsent");
  await assert.rejects(admin.removePolicyManagementCertificate(keys.certificate, keys.privateKey, keys.certificate), { statusCode: 400 });
  assert.equal((await admin.resetPolicy("SgxEnclave", keys)).body.policyResolution, "Removed");
});

test("the resource manager refuses with the error document", async () => {
  await assert.rejects(arm.attestationProviders.create("another", "aadjs", { location: "westus", properties: {} }), { statusCode: 409, code: "Conflict" });
  await assert.rejects(arm.attestationProviders.get("group", "unknown"), { statusCode: 404, code: "ResourceNotFound" });
  const stranger = new AttestationManagementClient(as("someone-else"), "x", { endpoint: url, $host: url, retryOptions: { maxRetries: 0 } });
  await assert.rejects(stranger.attestationProviders.list(), { statusCode: 401, code: "Unauthorized" });
});
