// Stands in for the 1.x SDK, which no registry has: it checks what webim.login checks, and posts the login as it does.
var webim = {
  login: function (loginInfo, listeners, options, onReady, onError) {
    var required = ['sdkAppID', 'accountType', 'identifier', 'userSig'];
    for (var nth = 0; nth < required.length; nth += 1) {
      if (!loginInfo[required[nth]]) return onError({ ActionStatus: 'FAIL', ErrorCode: -6, ErrorInfo: required[nth] + ' is empty' });
    }
    // The ticket goes into the query as it is, so it must be safe there as it is.
    var url = 'https://webim.tim.qq.com/v4/openim/login?identifier=' + encodeURIComponent(loginInfo.identifier) +
      '&usersig=' + loginInfo.userSig + '&contenttype=json&sdkappid=' + loginInfo.sdkAppID +
      '&accounttype=' + loginInfo.accountType;
    var request = new XMLHttpRequest();
    request.open('POST', url);
    request.onload = function () {
      var answer = JSON.parse(request.responseText);
      if (answer.ActionStatus === 'OK') onReady(answer);
      else onError(answer);
    };
    request.send(JSON.stringify({ State: 'Online' }));
  }
};
