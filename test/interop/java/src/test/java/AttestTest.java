import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.exception.HttpResponseException;
import com.azure.core.util.BinaryData;
import com.azure.core.util.Context;
import com.azure.security.attestation.models.AttestationData;
import com.azure.security.attestation.models.AttestationDataInterpretation;
import com.azure.security.attestation.models.AttestationOptions;
import com.azure.security.attestation.models.AttestationResult;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Azure's Java client attests and reads metadata. */
class AttestTest {
    private static final BinaryData QUOTE = Service.data("quote.bin");
    private static final BinaryData REPORT = Service.data("report.bin");
    private static final BinaryData RUNTIME = Service.data("runtime.bin");

    private static AttestationOptions with(BinaryData evidence, AttestationDataInterpretation as) {
        return new AttestationOptions(evidence).setRunTimeData(new AttestationData(RUNTIME, as));
    }

    private static void assertClaims(AttestationResult result) {
        assertEquals(Service.URL, result.getIssuer());
        assertEquals("1.0", result.getVersion());
        assertEquals("sgx", result.getVerifierType());
        assertEquals(7, result.getProductId());
        assertEquals(3, result.getSvn());
        assertFalse(result.isDebuggable());
        assertTrue(result.getMrEnclave().matches("[0-9a-f]{64}"));
        assertNotNull(result.getSgxCollateral());
        assertNotNull(result.getPolicyHash());
    }

    private static void assertJson(AttestationResult result) {
        assertClaims(result);
        var claims = (Map<?, ?>) result.getRuntimeClaims();
        assertEquals(Map.of("kty", "EC", "x", "18w"), claims.get("key"));
        assertEquals(2, ((List<?>) claims.get("a")).size());
        assertEquals(0, result.getEnclaveHeldData().getLength());
    }

    private static void assertBinary(AttestationResult result) {
        assertClaims(result);
        assertArrayEquals(RUNTIME.toBytes(), result.getEnclaveHeldData().toBytes());
        assertNull(result.getRuntimeClaims());
    }

    @Test
    void metadata() {
        var metadata = Service.anonymous().getOpenIdMetadata();
        assertEquals(Service.URL, metadata.getIssuer());
        assertEquals(Service.URL + "/certs", metadata.getJsonWebKeySetUrl());
        assertArrayEquals(new String[] {"RS256"}, metadata.getTokenSigningAlgorithmsSupported());
        assertTrue(metadata.getResponseTypesSupported().length > 0);
        assertTrue(metadata.getSupportedClaims().length > 0);
    }

    @Test
    void signers() {
        var signers = Service.anonymous().listAttestationSigners().getAttestationSigners();
        assertFalse(signers.isEmpty());
        for (var signer : signers) {
            assertNotNull(signer.getKeyId());
            assertEquals(1, signer.getCertificates().size());
        }
    }

    @Test
    void sgxWithJson() {
        assertJson(Service.anonymous().attestSgxEnclave(with(QUOTE, AttestationDataInterpretation.JSON)));
    }

    @Test
    void sgxWithBinary() {
        assertBinary(Service.anonymous().attestSgxEnclave(with(QUOTE, AttestationDataInterpretation.BINARY)));
    }

    @Test
    void sgxWithoutData() {
        var result = Service.anonymous().attestSgxEnclave(QUOTE);
        assertClaims(result);
        assertEquals(0, result.getEnclaveHeldData().getLength());
        assertNull(result.getRuntimeClaims());
    }

    @Test
    void sgxWithInitTimeData() {
        var init = new AttestationData(Service.data("inittime.bin"), AttestationDataInterpretation.JSON);
        var result = Service.anonymous().attestSgxEnclave(new AttestationOptions(Service.data("quote-kss.bin")).setInitTimeData(init));
        assertEquals(Map.of("config", "release"), result.getInitTimeClaims());
    }

    @Test
    void openEnclaveWithJson() {
        assertJson(Service.anonymous().attestOpenEnclave(with(REPORT, AttestationDataInterpretation.JSON)));
    }

    @Test
    void openEnclaveWithBinary() {
        assertBinary(Service.anonymous().attestOpenEnclave(with(REPORT, AttestationDataInterpretation.BINARY)));
    }

    @Test
    void draftPolicyGivesAnUnsecuredToken() {
        var response = Service.anonymous().attestSgxEnclaveWithResponse(new AttestationOptions(QUOTE).setDraftPolicyForAttestation(
            "version=1.0; authorizationrules{=> permit();}; issuancerules{=> issue(type=\"greg\", value=\"yes\");};"), Context.NONE);
        assertEquals("none", response.getToken().getAlgorithm());
        assertTrue(response.getToken().serialize().endsWith("."));
        assertEquals("yes", response.getToken().getBody(Map.class).get("greg"));
    }

    @Test
    void refusedEvidence() {
        byte[] bad = QUOTE.toBytes().clone();
        bad[200] ^= 1;
        var e = assertThrows(HttpResponseException.class, () -> Service.anonymous().attestSgxEnclave(BinaryData.fromBytes(bad)));
        assertEquals(400, e.getResponse().getStatusCode());
        assertTrue(e.getMessage().contains("InvalidParameter"), e.getMessage());
        assertTrue(e.getMessage().contains("dcap.quote.signature"), e.getMessage());
    }

    @Test
    void policyThatDenies() {
        var options = new AttestationOptions(QUOTE).setDraftPolicyForAttestation("version=1.0; authorizationrules{=> deny();};");
        var e = assertThrows(HttpResponseException.class, () -> Service.anonymous().attestSgxEnclave(options));
        assertEquals(400, e.getResponse().getStatusCode());
        assertTrue(e.getMessage().contains("PolicyEvaluationError"), e.getMessage());
    }

    @Test
    void requestsOfOneClient() {
        Service.REQUESTS.clear();
        var client = Service.anonymous();
        client.attestSgxEnclave(QUOTE);
        client.attestSgxEnclave(QUOTE);
        assertEquals("POST /attest/SgxEnclave?api-version=2020-10-01", Service.REQUESTS.get(0));
        assertTrue(Service.REQUESTS.contains("GET /certs"), Service.REQUESTS.toString());
    }
}
