// Logs the 1.x SDK (webim.js) in with a UserSig of the service. ES5, for the pages that still use it.

// From the console; any non-zero number will do where the console shows none.
var ACCOUNT_TYPE = 1;

function loginToIm(listeners, onReady, onError) {
  fetchUserSig(false);

  function fetchUserSig(again) {
    var request = new XMLHttpRequest();
    request.open('POST', '/v1/usersig');
    // Sends the session's cookie, to another host too.
    request.withCredentials = true;
    request.onload = function () {
      var answer;
      try {
        answer = JSON.parse(request.responseText);
      } catch (error) {
        answer = {};
      }
      if (request.status === 200) login(answer, again);
      else onError({ status: request.status, code: answer.code, message: answer.detail });
    };
    request.onerror = function () {
      onError({ status: 0, code: 'unreachable', message: 'the UserSig service cannot be reached' });
    };
    request.send();
  }

  function login(ticket, again) {
    var loginInfo = {
      sdkAppID: ticket.sdkAppId,
      appIDAt3rd: ticket.sdkAppId,
      accountType: ACCOUNT_TYPE,
      identifier: ticket.userId,
      userSig: ticket.userSig
    };
    webim.login(loginInfo, listeners, { isLogOn: false }, onReady, function (error) {
      // Only an expired ticket is worth another one, and only once.
      if (!again && [6206, 70001, 70052, 70101, 20002].indexOf(error.ErrorCode) >= 0) fetchUserSig(true);
      else onError({ status: 0, code: error.ErrorCode, message: error.ErrorInfo });
    });
  }
}
