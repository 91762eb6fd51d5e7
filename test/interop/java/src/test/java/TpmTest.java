import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.azure.core.exception.HttpResponseException;
import com.azure.core.util.BinaryData;
import com.azure.security.attestation.models.AttestationType;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Base64;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Azure's Java client carries the messages of the TPM protocol. The Go test is the machine with the TPM. */
class TpmTest {
    private static final String HELLO = "{\"payload\":{\"type\":\"aikcert\"}}";

    @BeforeAll
    static void policy() {
        Service.administrator(Service.URL).setAttestationPolicy(AttestationType.TPM,
            "version=1.0;authorizationrules{[type==\"secureBootEnabled\", value==true] => permit();};"
            + "issuancerules{c:[type==\"aikValidated\"] => issue(claim=c);};");
    }

    @AfterAll
    static void reset() {
        Service.administrator(Service.URL).resetAttestationPolicy(AttestationType.TPM);
    }

    private static String machine(String path, String challenge) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(Service.TPM_URL + path)).POST(HttpRequest.BodyPublishers.ofString(challenge)).build();
        var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        assertEquals(200, response.statusCode(), response.body());
        return response.body();
    }

    private static Map<?, ?> payload(String message) {
        return (Map<?, ?>) BinaryData.fromString(message).toObject(Map.class).get("payload");
    }

    @Test
    void bothRounds() throws Exception {
        var client = Service.authenticated();
        var first = client.attestTpm(HELLO);
        assertEquals(16, Base64.getUrlDecoder().decode((String) payload(first).get("challenge")).length);
        var token = (String) payload(client.attestTpm(machine("/healthy", first))).get("report");
        var claims = BinaryData.fromBytes(Base64.getUrlDecoder().decode(token.split("\\.")[1])).toObject(Map.class);
        assertEquals(Service.URL, claims.get("iss"));
        assertEquals("tpm", claims.get("x-ms-attestation-type"));
        assertEquals(true, claims.get("aikValidated"));
    }

    @Test
    void machineWithoutSecureBoot() throws Exception {
        var client = Service.authenticated();
        var message = machine("/insecure", client.attestTpm(HELLO));
        var e = assertThrows(HttpResponseException.class, () -> client.attestTpm(message));
        assertEquals(400, e.getResponse().getStatusCode());
        assertTrue(e.getMessage().contains("PolicyEvaluationError"), e.getMessage());
    }
}
