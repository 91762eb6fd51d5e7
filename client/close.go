package client

// Close closes the connections that are not in use. The client can still be used; it then makes new ones.
func (c *Client) Close() { c.http.CloseIdleConnections() }
