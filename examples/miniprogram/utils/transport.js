// What usersig.js needs in place of fetch: one POST by wx.request, without cookies.
module.exports = function transport({ url, headers, body, timeout }) {
  return new Promise((resolve, reject) => {
    wx.request({
      url,
      method: 'POST',
      header: { 'Content-Type': 'application/json', ...headers },
      // Always a body: what wx.request sends for none is nowhere promised.
      data: body || '{}',
      timeout,
      success: (response) =>
        resolve({ status: response.statusCode, body: response.data, header: (name) => headerOf(response.header, name) }),
      fail: ({ errMsg }) => reject(new Error(errMsg)),
    });
  });
};

/** Devices differ in how they write header names. */
function headerOf(headers, wanted) {
  const name = Object.keys(headers || {}).find((key) => key.toLowerCase() === wanted.toLowerCase());
  return name && headers[name];
}
