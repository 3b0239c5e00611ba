"""A Flask application with Flask-Login whose sessions Flask-Session keeps in Redis as JSON."""

import os

import flask
import flask_login
import redis
from flask_session import Session
from serve import serve

app = flask.Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.Redis.from_url(os.environ["REDIS_URL"]),
    SESSION_SERIALIZATION_FORMAT="json",
)
app.secret_key = os.environ["SECRET_KEY"]
Session(app)
manager = flask_login.LoginManager(app)


class User(flask_login.UserMixin):
    def __init__(self, user):
        self.id = user


manager.user_loader(User)


@app.post("/login")
def login():
    flask_login.login_user(User(flask.request.json["user"]))
    return {}


@app.post("/logout")
def logout():
    flask_login.logout_user()
    return {}


@app.post("/visit")
def visit():
    flask.session["basket"] = ["book"]
    return {}


serve(app)
