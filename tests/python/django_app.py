"""A Django project with its own logins whose cache sessions django-redis keeps in Redis as JSON."""

import json
import os

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponseForbidden, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    # Django's default is slow on purpose.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
            "OPTIONS": {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"},
        }
    },
)
django.setup()

from django.contrib import auth  # noqa: E402: Django must be set up before
from serve import serve  # noqa: E402


def login(request):
    body = json.loads(request.body)
    user = auth.authenticate(request, username=body["user"], password=body["password"])
    if user is None:
        return HttpResponseForbidden()
    auth.login(request, user)
    return JsonResponse({"id": user.pk})


def logout(request):
    auth.logout(request)
    return JsonResponse({})


def visit(request):
    request.session["basket"] = ["book"]
    return JsonResponse({})


urlpatterns = [path("login", login), path("logout", logout), path("visit", visit)]

call_command("migrate", verbosity=0)
auth.get_user_model().objects.create_user("alice", password="correct horse")
serve(get_wsgi_application())
